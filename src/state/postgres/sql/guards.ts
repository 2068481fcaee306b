/** Counters, windows, semaphores, audit rows. Whoever refuses may have written: the commit is undone. */
export const GUARDS = `
CREATE OR REPLACE FUNCTION op_count(s text, o jsonb, now_ms bigint) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
  i text := tight(o ->> 'id'); more bigint := (o ->> 'by')::bigint; most bigint := (o ->> 'limit')::bigint; total bigint;
BEGIN
  IF more = 0 THEN
    SELECT c.n INTO total FROM counter c WHERE c.scope = s AND c.id = i AND c.expires_at > now_ms;
    total := coalesce(total, 0);
  ELSE
    INSERT INTO counter AS c (scope, id, n, expires_at) VALUES (s, i, more, (o ->> 'expiresAt')::bigint)
      ON CONFLICT (scope, id) DO UPDATE SET
        n = CASE WHEN c.expires_at > now_ms THEN c.n ELSE 0 END + more,
        expires_at = CASE WHEN c.expires_at > now_ms THEN c.expires_at ELSE excluded.expires_at END
      RETURNING c.n INTO total;
  END IF;
  IF total > most THEN RETURN jsonb_build_object('refused', true, 'n', total - more); END IF;
  RETURN jsonb_build_object('n', total);
END $$;

-- A stamp is the moment itself up to a hundred admissions, above that the end of its hundredth of the window.
CREATE OR REPLACE FUNCTION op_admit(s text, o jsonb, now_ms bigint) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
  i text := tight(o ->> 'id'); most bigint := (o ->> 'max')::bigint; span bigint := (o ->> 'windowMs')::bigint;
  total bigint; moment bigint; retry_at bigint;
BEGIN
  SELECT coalesce(sum(t.n), 0) INTO total FROM stamp t WHERE t.scope = s AND t.id = i AND t.at > now_ms - span;
  IF total >= most THEN
    SELECT x.at + span INTO retry_at FROM
      (SELECT t.at, sum(t.n) OVER (ORDER BY t.at) AS gone FROM stamp t WHERE t.scope = s AND t.id = i AND t.at > now_ms - span) x
      WHERE x.gone >= total - most + 1 ORDER BY x.at LIMIT 1;
    -- At most 0: never, so look again after a window.
    RETURN jsonb_build_object('refused', true, 'n', total, 'retryAt', coalesce(retry_at, now_ms + span));
  END IF;
  moment := CASE WHEN most <= 100 THEN now_ms ELSE ((now_ms * 100 / span + 1) * span + 99) / 100 END;
  INSERT INTO stamp AS t (scope, id, at, n, leaves_at) VALUES (s, i, moment, 1, moment + span)
    ON CONFLICT (scope, id, at) DO UPDATE SET n = t.n + 1, leaves_at = greatest(t.leaves_at, excluded.leaves_at);
  RETURN jsonb_build_object('n', total + 1);
END $$;

CREATE OR REPLACE FUNCTION op_slot(s text, o jsonb, now_ms bigint) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
  i text := tight(o ->> 'id'); h text := tight(o ->> 'holder'); most bigint := (o ->> 'max')::bigint;
  ends bigint := (o ->> 'until')::bigint; others bigint; free_at bigint;
BEGIN
  SELECT count(*) INTO others FROM holder x WHERE x.scope = s AND x.id = i AND x.until > now_ms AND x.holder <> h;
  IF ends <= now_ms THEN
    DELETE FROM holder x WHERE x.scope = s AND x.id = i AND x.holder = h;
    RETURN jsonb_build_object('n', others);
  END IF;
  IF others >= most THEN
    SELECT x.until INTO free_at FROM holder x WHERE x.scope = s AND x.id = i AND x.until > now_ms AND x.holder <> h
      ORDER BY x.until OFFSET greatest(others - greatest(most, 1), 0) LIMIT 1;
    RETURN jsonb_strip_nulls(jsonb_build_object('refused', true, 'n', others, 'retryAt', free_at));
  END IF;
  INSERT INTO holder AS x (scope, id, holder, until) VALUES (s, i, h, ends)
    ON CONFLICT (scope, id, holder) DO UPDATE SET until = excluded.until;
  RETURN jsonb_build_object('n', others + 1);
END $$;

CREATE OR REPLACE FUNCTION record_row(r jsonb) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
  INSERT INTO audit (scope, id, action_id, chain_id, kind, outcome, provider, requested_provider, action_type, rule, caller, group_id, json)
    VALUES (r ->> 'scope', r ->> 'id', r ->> 'actionId', r ->> 'chainId', r ->> 'kind', r ->> 'outcome', r ->> 'provider',
      r ->> 'requestedProvider', r ->> 'actionType', r ->> 'rule', r ->> 'caller', r ->> 'groupId', r ->> 'json')
    ON CONFLICT DO NOTHING;
END $$;
`
