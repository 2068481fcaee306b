import { settings } from './settings.ts'

/**
 * The plain commits of a batch, all at once: those that only put what is not there, replace what nobody has claimed, delete what they have claimed,
 * count, admit and record,
 * and of whose entries no other has one. Each kind of op is one statement for all of them, and a key that all of them count is written once.
 * Looks first who cannot be done so: what he wants is there, or a limit may be passed. He is left for the way that takes op by op, and
 * nothing of him is written here. Everybody's locks are held, so what was seen still stands; claims alone take no lock, and what they took
 * meanwhile undoes the whole.
 */
export const plain = (schema: string): string => `
CREATE OR REPLACE FUNCTION commit_plain(puts jsonb, replaces jsonb, deletes jsonb, counts jsonb, admits jsonb, records jsonb, numbers bigint[], now_ms bigint,
  moment bigint)
  RETURNS jsonb LANGUAGE plpgsql ${settings(schema)} SET enable_hashjoin = off SET enable_mergejoin = off AS $$
DECLARE
  bad int[] := '{}'; over_limit int[]; counted bigint[]; admitted bigint[]; one jsonb; had jsonb;
BEGIN
  IF puts IS NOT NULL THEN
    bad := ARRAY(SELECT (o ->> 'c')::int FROM jsonb_array_elements(puts) AS o WHERE 1 = (SELECT 1 FROM entry e
      WHERE e.kind = o ->> 'kind' AND e.scope = o ->> 's' AND e.id = head(o ->> 'id') AND e.rest = tail(o ->> 'id')));
  END IF;
  -- Neither claimed nor woken, and without tags: then nothing but the row changes.
  IF replaces IS NOT NULL THEN
    bad := bad || ARRAY(SELECT (o ->> 'c')::int FROM jsonb_array_elements(replaces) AS o WHERE 1 IS DISTINCT FROM (SELECT 1 FROM entry e
      WHERE e.kind = o ->> 'kind' AND e.scope = o ->> 's' AND e.id = head(o ->> 'id') AND e.rest = tail(o ->> 'id')
        AND e.version = o ->> 'ifVersion' AND e.number IS NULL AND NOT e.woken AND e.tags IS NULL
        AND (e.expires_at IS NULL OR e.expires_at > now_ms)));
  END IF;
  IF deletes IS NOT NULL THEN
    bad := bad || ARRAY(SELECT (o ->> 'c')::int FROM jsonb_array_elements(deletes) AS o WHERE 1 IS DISTINCT FROM (SELECT 1 FROM entry e
      WHERE e.kind = o ->> 'kind' AND e.scope = o ->> 's' AND e.id = head(o ->> 'id') AND e.rest = tail(o ->> 'id')
        AND e.number = (o #>> '{ifClaim,number}')::bigint AND e.owner = o #>> '{ifClaim,owner}'));
  END IF;
  IF counts IS NOT NULL THEN
    SELECT array_agg(x.before ORDER BY x.place), array_agg(x.c) FILTER (WHERE x.before + x.total > x.most) INTO counted, over_limit
      FROM (SELECT k.place, k.c, sum(k.more) OVER w AS total, min(k.most) OVER w AS most, coalesce((SELECT t.n FROM counter t
          WHERE t.scope = k.s AND t.id = k.i AND t.expires_at > now_ms), 0) AS before
        FROM (SELECT place, (o ->> 'c')::int AS c, o ->> 's' AS s, tight(o ->> 'id') AS i, (o ->> 'by')::bigint AS more,
          (o ->> 'limit')::bigint AS most FROM jsonb_array_elements(counts) WITH ORDINALITY AS a (o, place)) k
        WINDOW w AS (PARTITION BY k.s, k.i)) x;
    bad := bad || coalesce(over_limit, '{}');
  END IF;
  IF admits IS NOT NULL THEN
    WITH k AS MATERIALIZED (SELECT place, (o ->> 'c')::int AS c, o ->> 's' AS s, tight(o ->> 'id') AS i, (o ->> 'max')::bigint AS most,
        (o ->> 'windowMs')::bigint AS span FROM jsonb_array_elements(admits) WITH ORDINALITY AS a (o, place)),
      g AS MATERIALIZED (SELECT x.*, (SELECT coalesce(sum(t.n), 0) FROM stamp t
          WHERE t.scope = x.s AND t.id = x.i AND t.at > moment - x.span) AS before
        FROM (SELECT s, i, count(*) AS total, min(most) AS most, min(span) AS span, min(most) <> max(most) OR min(span) <> max(span) AS mixed
          FROM k GROUP BY s, i) x)
    SELECT array_agg(g.before ORDER BY k.place), array_agg(k.c) FILTER (WHERE g.mixed OR g.before + g.total > g.most)
      INTO admitted, over_limit FROM k JOIN g ON g.s = k.s AND g.i = k.i;
    bad := bad || coalesce(over_limit, '{}');
  END IF;

  -- One by one: joined, a plan made while the table was small would go through all of it once it is not.
  FOR one IN SELECT x FROM jsonb_array_elements(deletes) AS x WHERE (x ->> 'c')::int <> ALL (bad) LOOP
    DELETE FROM entry e WHERE e.kind = one ->> 'kind' AND e.scope = one ->> 's' AND e.id = head(one ->> 'id') AND e.rest = tail(one ->> 'id')
      AND e.number = (one #>> '{ifClaim,number}')::bigint AND e.owner = one #>> '{ifClaim,owner}' RETURNING e.tags INTO had;
    IF NOT FOUND THEN RAISE EXCEPTION 'claimed meanwhile'; END IF;
    IF had IS NOT NULL THEN PERFORM untag(one ->> 'kind', one ->> 's', one ->> 'id', had); END IF;
  END LOOP;
  FOR one IN SELECT x FROM jsonb_array_elements(replaces) AS x WHERE (x ->> 'c')::int <> ALL (bad) LOOP
    UPDATE entry e SET version = one ->> 'version', value = one ->> 'value', due_at = (one ->> 'dueAt')::bigint,
        expires_at = CASE WHEN NOT (one ? 'dueAt') THEN (one ->> 'expiresAt')::bigint END,
        attempts = coalesce((one ->> 'attempts')::bigint, e.attempts)
      WHERE e.kind = one ->> 'kind' AND e.scope = one ->> 's' AND e.id = head(one ->> 'id') AND e.rest = tail(one ->> 'id')
        AND e.version = one ->> 'ifVersion' AND e.number IS NULL AND NOT e.woken;
    IF NOT FOUND THEN RAISE EXCEPTION 'claimed meanwhile'; END IF;
  END LOOP;
  IF puts IS NOT NULL THEN
    INSERT INTO entry (kind, scope, id, rest, long_id, version, value, tags, due_at, expires_at, owner, number, until, woken, attempts)
      SELECT o ->> 'kind', o ->> 's', head(o ->> 'id'), tail(o ->> 'id'), CASE WHEN length(o ->> 'id') > 200 THEN o ->> 'id' END,
        o ->> 'version', o ->> 'value', o -> 'tags', coalesce((o #>> '{claim,until}')::bigint, (o ->> 'dueAt')::bigint),
        CASE WHEN NOT (o ?| '{claim,dueAt}') THEN (o ->> 'expiresAt')::bigint END,
        o #>> '{claim,owner}', numbers[(o ->> 'ticket')::int], (o #>> '{claim,until}')::bigint, false,
        coalesce((o ->> 'attempts')::bigint, 0)
      FROM jsonb_array_elements(puts) AS o WHERE (o ->> 'c')::int <> ALL (bad);
    INSERT INTO tag (kind, scope, tag, id, rest)
      SELECT DISTINCT o ->> 'kind', o ->> 's', tight(x), head(o ->> 'id'), tail(o ->> 'id')
      FROM jsonb_array_elements(puts) AS o, jsonb_array_elements_text(o -> 'tags') AS x
      WHERE o ? 'tags' AND (o ->> 'c')::int <> ALL (bad) ON CONFLICT DO NOTHING;
  END IF;
  IF counts IS NOT NULL THEN
    INSERT INTO counter AS t (scope, id, n, expires_at)
      SELECT o ->> 's', tight(o ->> 'id'), sum((o ->> 'by')::bigint), (array_agg((o ->> 'expiresAt')::bigint ORDER BY place))[1]
      FROM jsonb_array_elements(counts) WITH ORDINALITY AS a (o, place) WHERE (o ->> 'c')::int <> ALL (bad) GROUP BY 1, 2
      ON CONFLICT (scope, id) DO UPDATE SET
        n = CASE WHEN t.expires_at > now_ms THEN t.n ELSE 0 END + excluded.n,
        expires_at = CASE WHEN t.expires_at > now_ms THEN t.expires_at ELSE excluded.expires_at END;
  END IF;
  IF admits IS NOT NULL THEN
    INSERT INTO stamp AS t (scope, id, at, n, leaves_at)
      SELECT x.s, x.i, x.at, count(*), x.at + x.span FROM (SELECT k.s, k.i, k.span, CASE WHEN k.most <= 100 THEN moment
          ELSE ((moment * 100 / k.span + 1) * k.span + 99) / 100 END AS at
        FROM (SELECT o ->> 's' AS s, tight(o ->> 'id') AS i, (o ->> 'max')::bigint AS most, (o ->> 'windowMs')::bigint AS span
          FROM jsonb_array_elements(admits) AS o WHERE (o ->> 'c')::int <> ALL (bad)) k) x
      GROUP BY x.s, x.i, x.at, x.span
      ON CONFLICT (scope, id, at) DO UPDATE SET n = t.n + excluded.n, leaves_at = greatest(t.leaves_at, excluded.leaves_at);
  END IF;
  IF records IS NOT NULL THEN
    INSERT INTO audit (scope, id, action_id, chain_id, kind, outcome, provider, requested_provider, action_type, rule, caller, group_id, json)
      SELECT r ->> 'scope', r ->> 'id', r ->> 'actionId', r ->> 'chainId', r ->> 'kind', r ->> 'outcome', r ->> 'provider',
        r ->> 'requestedProvider', r ->> 'actionType', r ->> 'rule', r ->> 'caller', r ->> 'groupId', r ->> 'json'
      FROM (SELECT o -> 'row' AS r FROM jsonb_array_elements(records) WITH ORDINALITY AS a (o, place)
        WHERE (o ->> 'c')::int <> ALL (bad) ORDER BY place) x
      ON CONFLICT DO NOTHING;
  END IF;
  RETURN jsonb_build_object('bad', bad, 'counted', counted, 'admitted', admitted, 'numbers', numbers);
END $$;
`
