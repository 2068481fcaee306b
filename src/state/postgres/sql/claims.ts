import { PAGE_CHARS } from '../../../core/state.ts'
import { settings } from './settings.ts'

/**
 * Claims. Rows in another's hands are passed over, so nobody waits and no two get one. Where few entries are due they are looked at
 * at once; else scope by scope from the one served last, so that a scope with a million due entries hides no other.
 */
export const claims = (schema: string): string => `
CREATE OR REPLACE FUNCTION due_scopes(k text, served text, most bigint, now_ms bigint) RETURNS text[] LANGUAGE plpgsql AS $$
DECLARE
  n bigint; found text[] := '{}'; s text := served; wrapped boolean := false;
BEGIN
  SELECT count(*) INTO n FROM (SELECT FROM entry WHERE kind = k AND due_at <= now_ms ORDER BY due_at LIMIT 1001) x;
  IF n <= 1000 THEN
    RETURN ARRAY(SELECT x.scope FROM (SELECT DISTINCT scope FROM entry WHERE kind = k AND due_at <= now_ms) x
      ORDER BY x.scope <= served, x.scope LIMIT most);
  END IF;
  LOOP
    SELECT e.scope INTO s FROM entry e WHERE e.kind = k AND e.due_at IS NOT NULL AND e.scope > s ORDER BY e.scope LIMIT 1;
    IF s IS NULL THEN
      EXIT WHEN wrapped OR served = '';
      wrapped := true;
      s := '';
      CONTINUE;
    END IF;
    EXIT WHEN wrapped AND s > served;
    IF EXISTS (SELECT FROM entry e WHERE e.kind = k AND e.scope = s AND e.due_at <= now_ms) THEN found := found || s; END IF;
    EXIT WHEN cardinality(found) >= most;
  END LOOP;
  RETURN found;
END $$;

CREATE OR REPLACE FUNCTION take_due(k text, who text, lease_ms bigint, most bigint, per_scope bigint, served text, now_ms bigint)
  RETURNS jsonb LANGUAGE plpgsql ${settings(schema)} AS $$
DECLARE
  scopes text[] := due_scopes(k, served, most, now_ms); turn record; e entry; taken jsonb[] := '{}'; size bigint := 0;
BEGIN
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
  RETURN to_jsonb(taken);
END $$;
`
