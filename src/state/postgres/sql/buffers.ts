/**
 * Open buffers. Their texts travel as pieces of the JSON that a sealed entry becomes, so that they are only strung together here:
 * \`opening\` is \`{"buffer":…,"value":…\`, an item \`{"itemId":…,"item":…\`.
 */
export const BUFFERS = `
-- The items become one frozen entry and the buffer is empty: in one step, so an event is never in neither and never in both.
CREATE OR REPLACE FUNCTION close_buffer(s text, b buffer, whole_id text, dest jsonb, now_ms bigint) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
  num bigint := b.seal + 1; k text := dest ->> 'kind'; i text; items text;
BEGIN
  LOOP
    i := dest ->> 'idPrefix' || num;
    -- Only a buffer that was forgotten can begin again at 1; what it sealed before is never overwritten.
    EXIT WHEN NOT EXISTS (SELECT FROM entry e WHERE e.kind = k AND e.scope = s AND e.id = head(i) AND e.rest = tail(i)
      AND (e.expires_at IS NULL OR e.expires_at > now_ms));
    num := num + 1;
  END LOOP;
  SELECT string_agg(x.item || ',"at":' || x.at || '}', ',' ORDER BY x.seq) INTO items
    FROM item x WHERE x.scope = s AND x.buffer = b.id;
  DELETE FROM item x WHERE x.scope = s AND x.buffer = b.id;
  PERFORM drop_entry(k, s, i);
  IF dest ? 'tags' THEN PERFORM tag_with(k, s, i, dest -> 'tags'); END IF;
  INSERT INTO entry (kind, scope, id, rest, long_id, version, value, tags, due_at, woken, attempts)
    VALUES (k, s, head(i), tail(i), CASE WHEN length(i) > 200 THEN i END, 'sealed:' || b.id || ':' || num || '@' || now_ms,
      b.opening || ',"seal":' || num || ',"sealed_at":' || now_ms || ',"items":[' || items || ']}', dest -> 'tags', now_ms, false, 0);
  PERFORM drop_entry('buffer', s, whole_id);
  UPDATE buffer x SET seal = num, sealed_at = now_ms, n = 0, bytes = 0, due_at = NULL,
    forget_at = now_ms + greatest(604800000, x.interval_ms) WHERE x.scope = s AND x.id = b.id;
  RETURN i;
END $$;

CREATE OR REPLACE FUNCTION op_append(s text, o jsonb, now_ms bigint) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
  whole_id text := o ->> 'id'; i text := tight(o ->> 'id'); one text := tight(o ->> 'itemId'); size bigint := (o ->> 'bytes')::bigint;
  most bigint := (o ->> 'maxItems')::bigint; most_bytes bigint := (o ->> 'maxBytes')::bigint;
  wait bigint := (o ->> 'waitMs')::bigint; gap bigint := (o ->> 'intervalMs')::bigint;
  b buffer; sealed text[] := '{}';
BEGIN
  SELECT * INTO b FROM buffer x WHERE x.scope = s AND x.id = i FOR UPDATE;
  IF b.n > 0 AND EXISTS (SELECT FROM item x WHERE x.scope = s AND x.buffer = i AND x.item_id = one) THEN
    RETURN jsonb_build_object('skipped', true, 'n', b.n, 'dueAt', b.due_at);
  END IF;
  IF b.n > 0 AND (b.n + 1 > most OR b.bytes + size > most_bytes) THEN
    sealed := sealed || close_buffer(s, b, whole_id, o -> 'into', now_ms);
    SELECT * INTO b FROM buffer x WHERE x.scope = s AND x.id = i;
  END IF;
  IF b.n > 0 THEN
    UPDATE buffer x SET n = x.n + 1, bytes = x.bytes + size, interval_ms = gap WHERE x.scope = s AND x.id = i RETURNING * INTO b;
  ELSE
    INSERT INTO buffer AS x (scope, id, opening, seal, n, bytes, interval_ms, due_at)
      VALUES (s, i, o ->> 'opening', 0, 1, size, gap, greatest(now_ms + wait, b.sealed_at + gap))
      ON CONFLICT (scope, id) DO UPDATE SET opening = excluded.opening, n = 1, bytes = excluded.bytes,
        interval_ms = excluded.interval_ms, due_at = excluded.due_at, forget_at = NULL
      RETURNING * INTO b;
    PERFORM drop_entry('buffer', s, whole_id);
    INSERT INTO entry (kind, scope, id, rest, long_id, version, value, due_at, woken, attempts)
      VALUES ('buffer', s, head(whole_id), tail(whole_id), CASE WHEN length(whole_id) > 200 THEN whole_id END,
        (b.seal + 1) || '@' || now_ms, o ->> 'value', b.due_at, false, 0);
  END IF;
  INSERT INTO item (scope, buffer, item_id, at, item) VALUES (s, i, one, now_ms, o ->> 'item');
  IF b.n >= most OR b.bytes >= most_bytes THEN
    sealed := sealed || close_buffer(s, b, whole_id, o -> 'into', now_ms);
    RETURN jsonb_build_object('n', b.n, 'dueAt', now_ms, 'sealed', sealed);
  END IF;
  RETURN jsonb_build_object('n', b.n, 'dueAt', b.due_at)
    || CASE WHEN sealed = '{}' THEN '{}'::jsonb ELSE jsonb_build_object('sealed', sealed) END;
END $$;

CREATE OR REPLACE FUNCTION op_seal(s text, o jsonb, now_ms bigint) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
  b buffer; i text;
BEGIN
  SELECT * INTO b FROM buffer x WHERE x.scope = s AND x.id = tight(o ->> 'id') FOR UPDATE;
  IF coalesce(b.n, 0) = 0 OR (o ? 'ifDue' AND coalesce(b.due_at, 0) > now_ms) THEN RETURN '{"skipped": true}'; END IF;
  i := close_buffer(s, b, o ->> 'id', o -> 'into', now_ms);
  IF o ? 'dueAt' THEN
    UPDATE entry e SET due_at = (o ->> 'dueAt')::bigint
      WHERE e.kind = o -> 'into' ->> 'kind' AND e.scope = s AND e.id = head(i) AND e.rest = tail(i);
  END IF;
  RETURN jsonb_build_object('n', b.n, 'sealed', jsonb_build_array(i));
END $$;
`
