import { settings } from './settings.ts'
import { TRAIL_LOCK } from './trail.ts'

/**
 * A batch of commits as one transaction and one round trip.
 *
 * 1 All locks first, in one order for every node, so that no two batches wait for each other.
 * 2 Plain commits all at once; where that fails, and for those it has left, op by op like the others, in their order.
 * 3 Each commit that is taken op by op in a subtransaction: an op that refuses undoes its commit, and its neighbours stand.
 * 4 What comes after `latest`, by the server's clock, is not done: its callers have been told "unknown" and may have looked. So it is asked
 *   when all locks are there, and at the end, as tables and rows may have been waited for. NULL: the caller's clock is not the server's.
 * 5 An admission is stamped with the moment it is decided, which is later than what the caller's clock said when it asked. All else goes by
 *   that, as callers have made their times of it.
 * 6 Variables outlive the subtransaction that is undone: so what an op saw is told, and a dry run's answer too.
 */
export const batch = (schema: string): string => `
CREATE OR REPLACE FUNCTION commit_op(s text, o jsonb, now_ms bigint) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
  op text := o ->> 'op';
BEGIN
  IF op = 'put' THEN RETURN op_put(s, o, now_ms);
  ELSIF op = 'record' THEN PERFORM record_row(o -> 'row'); RETURN NULL;
  ELSIF op = 'count' THEN RETURN op_count(s, o, now_ms);
  ELSIF op = 'admit' THEN RETURN op_admit(s, o, now_ms);
  ELSIF op = 'delete' THEN RETURN op_delete(s, o, now_ms);
  ELSIF op = 'touch' THEN RETURN op_touch(s, o, now_ms);
  ELSIF op = 'slot' THEN RETURN op_slot(s, o, now_ms);
  ELSIF op = 'append' THEN RETURN op_append(s, o, now_ms);
  ELSIF op = 'seal' THEN RETURN op_seal(s, o, now_ms);
  ELSIF op = 'wake' THEN RETURN op_wake(s, o, now_ms);
  END IF;
  RAISE EXCEPTION 'no such op: %', op;
END $$;

CREATE OR REPLACE FUNCTION commit_batch(locks bigint[], calls jsonb, puts jsonb, replaces jsonb, deletes jsonb, counts jsonb, admits jsonb,
  records jsonb, tickets int, slow int[], now_ms bigint, latest bigint) RETURNS jsonb LANGUAGE plpgsql ${settings(schema)} AS $$
DECLARE
  c jsonb; o jsonb; ref jsonb; s text; done jsonb; results jsonb[]; answers jsonb[] := '{}'; plain jsonb; place int; i int; last int;
  moment bigint := now_ms;
BEGIN
  -- Before anything that gives the transaction a number (see the trail).
  PERFORM pg_advisory_xact_lock_shared(${TRAIL_LOCK});
  PERFORM pg_advisory_xact_lock(k) FROM unnest(locks) AS k;
  IF latest IS NOT NULL THEN
    moment := greatest(now_ms, floor(extract(epoch FROM clock_timestamp()) * 1000)::bigint);
    IF moment > latest THEN RAISE SQLSTATE 'SB003' USING MESSAGE = 'it was asked too late, and has done nothing'; END IF;
  END IF;
  IF cardinality(slow) < jsonb_array_length(calls) THEN
    BEGIN
      plain := commit_plain(puts, replaces, deletes, counts, admits, records,
        ARRAY(SELECT nextval('claim_number') FROM generate_series(1, tickets)), now_ms, moment);
      slow := ARRAY(SELECT x FROM unnest(slow || ARRAY(SELECT jsonb_array_elements(plain -> 'bad')::int)) AS x GROUP BY x ORDER BY x);
    EXCEPTION
      WHEN deadlock_detected OR lock_not_available OR read_only_sql_transaction THEN
        RAISE;
      WHEN OTHERS THEN
        plain := NULL;
        slow := ARRAY(SELECT x FROM generate_series(0, jsonb_array_length(calls) - 1) AS x);
    END;
  END IF;
  FOREACH place IN ARRAY slow LOOP
    c := calls -> place;
    s := c ->> 'scope';
    results := '{}';
    done := NULL;
    last := jsonb_array_length(coalesce(c -> 'ops', c -> 'refs')) - 1;
    BEGIN
      FOR i IN 0 .. last LOOP
        IF c ? 'ops' THEN
          o := c -> 'ops' -> i;
        ELSE
          ref := c -> 'refs' -> i;
          o := CASE ref ->> 0 WHEN 'put' THEN puts WHEN 'replace' THEN replaces WHEN 'delete' THEN deletes WHEN 'count' THEN counts WHEN 'admit' THEN admits
            ELSE records END -> (ref -> 1)::int;
        END IF;
        done := commit_op(s, o, CASE WHEN o ->> 'op' = 'admit' THEN moment ELSE now_ms END);
        IF done ? 'refused' THEN RAISE SQLSTATE 'SB001'; END IF;
        results := results || coalesce(done, '{}');
      END LOOP;
      IF c ? 'dry' THEN RAISE SQLSTATE 'SB002'; END IF;
      IF c ? 'topic' THEN PERFORM pg_notify('${schema}_control', c ->> 'topic'); END IF;
      answers := answers || jsonb_build_array(place, 0, jsonb_build_object('ok', true, 'results', results));
    EXCEPTION
      WHEN SQLSTATE 'SB001' THEN
        answers := answers || jsonb_build_array(place, 0, jsonb_build_object('ok', false, 'at', cardinality(results)) || (done - 'refused'));
      WHEN SQLSTATE 'SB002' THEN
        answers := answers || jsonb_build_array(place, 0, jsonb_build_object('ok', true, 'results', results));
      WHEN deadlock_detected OR lock_not_available OR read_only_sql_transaction THEN
        RAISE;
      WHEN OTHERS THEN
        -- Beyond a limit of the server it will be the next time too.
        answers := answers || jsonb_build_array(place, CASE WHEN SQLSTATE LIKE '54%' THEN 3 ELSE 1 END, SQLERRM);
    END;
  END LOOP;
  IF latest < extract(epoch FROM clock_timestamp()) * 1000 THEN
    RAISE SQLSTATE 'SB003' USING MESSAGE = 'it has taken too long, and has done nothing';
  END IF;
  RETURN jsonb_build_object('plain', plain, 'answers', to_jsonb(answers));
END $$;

-- Up to \`most\` expired rows of each table; those somebody has in hand are left for another time. Answers the most of one table.
CREATE OR REPLACE FUNCTION sweep(now_ms bigint, most bigint) RETURNS bigint LANGUAGE plpgsql ${settings(schema)} AS $$
DECLARE
  e entry; n bigint; highest bigint := 0;
BEGIN
  FOR e IN DELETE FROM entry x WHERE x.ctid = ANY (ARRAY(
      SELECT ctid FROM entry WHERE expires_at <= now_ms ORDER BY expires_at LIMIT most FOR UPDATE SKIP LOCKED)) RETURNING x.* LOOP
    highest := highest + 1;
    IF e.tags IS NOT NULL THEN PERFORM untag(e.kind, e.scope, coalesce(e.long_id, e.id), e.tags); END IF;
  END LOOP;
  DELETE FROM counter WHERE ctid = ANY (ARRAY(
    SELECT ctid FROM counter WHERE expires_at <= now_ms ORDER BY expires_at LIMIT most FOR UPDATE SKIP LOCKED));
  GET DIAGNOSTICS n = ROW_COUNT;
  highest := greatest(highest, n);
  DELETE FROM stamp WHERE ctid = ANY (ARRAY(
    SELECT ctid FROM stamp WHERE leaves_at <= now_ms ORDER BY leaves_at LIMIT most FOR UPDATE SKIP LOCKED));
  GET DIAGNOSTICS n = ROW_COUNT;
  highest := greatest(highest, n);
  DELETE FROM holder WHERE ctid = ANY (ARRAY(
    SELECT ctid FROM holder WHERE until <= now_ms ORDER BY until LIMIT most FOR UPDATE SKIP LOCKED));
  GET DIAGNOSTICS n = ROW_COUNT;
  highest := greatest(highest, n);
  DELETE FROM buffer WHERE ctid = ANY (ARRAY(
    SELECT ctid FROM buffer WHERE forget_at <= now_ms ORDER BY forget_at LIMIT most FOR UPDATE SKIP LOCKED));
  GET DIAGNOSTICS n = ROW_COUNT;
  RETURN greatest(highest, n);
END $$;
`
