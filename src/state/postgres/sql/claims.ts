import { PAGE_CHARS } from '../../../core/state.ts'
import { settings } from './settings.ts'

/** Due entries that are looked at at once, and scopes of a walk. */
const FEW = 1000

/**
 * Claims. Rows in another's hands are passed over, so nobody waits and no two get one. Where few entries are due they are looked at
 * at once; else scope by scope from the one served last, so that a scope with a million due entries hides no other. Most of the scopes
 * that wait may have nothing due: a walk ends after so many, the next goes on where it ended, and the scopes of the oldest entries take
 * their turns meanwhile.
 */
export const claims = (schema: string): string => `
CREATE OR REPLACE FUNCTION scopes_due(k text, served text, most bigint, now_ms bigint, OUT scopes text[], OUT walked text)
  LANGUAGE plpgsql AS $$
DECLARE
  n bigint; s text := served; wrapped boolean := false; steps int := 0;
BEGIN
  SELECT count(*) INTO n FROM (SELECT FROM entry WHERE kind = k AND due_at <= now_ms ORDER BY due_at LIMIT ${FEW + 1}) x;
  IF n <= ${FEW} THEN
    scopes := ARRAY(SELECT x.scope FROM (SELECT DISTINCT scope FROM entry WHERE kind = k AND due_at <= now_ms) x
      ORDER BY x.scope <= served, x.scope LIMIT most);
    RETURN;
  END IF;
  scopes := '{}';
  LOOP
    SELECT e.scope INTO s FROM entry e WHERE e.kind = k AND e.due_at IS NOT NULL AND e.scope > s ORDER BY e.scope LIMIT 1;
    IF s IS NULL THEN
      EXIT WHEN wrapped OR served = '';
      wrapped := true;
      s := '';
      CONTINUE;
    END IF;
    EXIT WHEN wrapped AND s > served;
    IF EXISTS (SELECT FROM entry e WHERE e.kind = k AND e.scope = s AND e.due_at <= now_ms) THEN scopes := scopes || s; END IF;
    EXIT WHEN cardinality(scopes) >= most;
    steps := steps + 1;
    IF steps = ${FEW} THEN
      walked := s;
      scopes := scopes || ARRAY(SELECT x.scope FROM (SELECT scope, min(due_at) AS first FROM
          (SELECT scope, due_at FROM entry WHERE kind = k AND due_at <= now_ms ORDER BY due_at LIMIT ${FEW}) o GROUP BY scope) x
        WHERE x.scope <> ALL (scopes) ORDER BY x.first LIMIT most);
      EXIT;
    END IF;
  END LOOP;
END $$;

-- What was taken, and where a walk that was ended has ended.
CREATE OR REPLACE FUNCTION claim_due(k text, who text, lease_ms bigint, most bigint, per_scope bigint, served text, now_ms bigint)
  RETURNS jsonb LANGUAGE plpgsql ${settings(schema)} AS $$
DECLARE
  scopes text[]; walked text; turn record; e entry; taken jsonb[] := '{}'; size bigint := 0;
BEGIN
  SELECT d.scopes, d.walked INTO scopes, walked FROM scopes_due(k, served, most, now_ms) d;
  FOR turn IN
    SELECT t.scope, d.id, d.rest FROM unnest(scopes) WITH ORDINALITY AS t (scope, place) CROSS JOIN LATERAL (
      SELECT x.id, x.rest, row_number() OVER () AS turn FROM (SELECT i.id, i.rest FROM entry i
        WHERE i.kind = k AND i.scope = t.scope AND i.due_at <= now_ms ORDER BY i.due_at, i.id LIMIT per_scope) x) d
    ORDER BY d.turn, t.place LIMIT most
  LOOP
    SELECT * INTO e FROM entry x WHERE x.kind = k AND x.scope = turn.scope AND x.id = turn.id AND x.rest = turn.rest
      AND x.due_at <= now_ms FOR UPDATE SKIP LOCKED;
    CONTINUE WHEN NOT FOUND;
    UPDATE entry x SET owner = who, number = nextval('claim_number'), until = now_ms + lease_ms, due_at = now_ms + lease_ms,
      woken = false, attempts = x.attempts + 1
      WHERE x.kind = k AND x.scope = turn.scope AND x.id = turn.id AND x.rest = turn.rest RETURNING x.* INTO e;
    taken := taken || to_jsonb(e);
    size := size + octet_length(e.value);
    EXIT WHEN size >= ${PAGE_CHARS};
  END LOOP;
  RETURN jsonb_build_object('taken', to_jsonb(taken), 'walked', walked);
END $$;
`
