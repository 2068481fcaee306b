/**
 * Ops on entries. Each takes the scope, the op as it travels and the time, and answers with its result: NULL = done, and `refused` in
 * it undoes the commit. The row is locked as it is read, as claims and the sweep lock rows alone.
 */
export const ENTRIES = `
CREATE OR REPLACE FUNCTION refusal(was entry) RETURNS jsonb LANGUAGE plpgsql AS $$
BEGIN
  IF was.kind IS NULL THEN RETURN '{"refused": true}'; END IF;
  RETURN jsonb_build_object('refused', true, 'saw', to_jsonb(was));
END $$;

-- The live row, locked; a row of NULLs where there is none.
CREATE OR REPLACE FUNCTION live_row(k text, s text, i text, now_ms bigint) RETURNS entry LANGUAGE plpgsql AS $$
DECLARE was entry;
BEGIN
  SELECT * INTO was FROM entry e WHERE e.kind = k AND e.scope = s AND e.id = head(i) AND e.rest = tail(i) FOR UPDATE;
  IF was.expires_at <= now_ms THEN was := NULL; END IF;
  RETURN was;
END $$;

CREATE OR REPLACE FUNCTION holds(was entry, o jsonb, now_ms bigint) RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
  IF o ? 'ifVersion' AND was.version IS DISTINCT FROM o ->> 'ifVersion' THEN RETURN false; END IF;
  IF o ? 'ifClaim' AND (was.number IS NULL OR was.number <> (o #>> '{ifClaim,number}')::bigint
    OR was.owner <> o #>> '{ifClaim,owner}') THEN RETURN false; END IF;
  RETURN NOT (o ? 'ifUnclaimed' AND was.number IS NOT NULL AND was.until > now_ms);
END $$;

CREATE OR REPLACE FUNCTION untag(k text, s text, i text, t jsonb) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
  x text;
BEGIN
  -- One by one, as the index has the tag before the id.
  FOR x IN SELECT * FROM jsonb_array_elements_text(t) LOOP
    DELETE FROM tag WHERE kind = k AND scope = s AND tag.tag = tight(x) AND id = head(i) AND rest = tail(i);
  END LOOP;
END $$;
CREATE OR REPLACE FUNCTION tag_with(k text, s text, i text, t jsonb) RETURNS void LANGUAGE sql AS $$
  INSERT INTO tag (kind, scope, tag, id, rest)
    SELECT DISTINCT k, s, tight(x), head(i), tail(i) FROM jsonb_array_elements_text(t) AS x ON CONFLICT DO NOTHING
$$;

CREATE OR REPLACE FUNCTION op_put(s text, o jsonb, now_ms bigint) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
  was entry; before jsonb;
  k text := o ->> 'kind'; i text := o ->> 'id';
  due bigint := (o ->> 'dueAt')::bigint; expires bigint := (o ->> 'expiresAt')::bigint;
  t jsonb := o -> 'tags';
  claimant text; num bigint; ends bigint; wakes boolean := false;
BEGIN
  IF o ? 'claim' THEN
    claimant := o #>> '{claim,owner}';
    ends := (o #>> '{claim,until}')::bigint;
    num := coalesce((o #>> '{ifClaim,number}')::bigint, nextval('claim_number'));
    due := ends;
  END IF;
  -- What is put if absent is most often absent: then one statement does it.
  IF o -> 'ifVersion' = 'null' AND NOT (o ? 'ifClaim') THEN
    INSERT INTO entry (kind, scope, id, rest, long_id, version, value, tags, due_at, expires_at, owner, number, until, woken, attempts)
      VALUES (k, s, head(i), tail(i), CASE WHEN length(i) > 200 THEN i END, o ->> 'version', o ->> 'value', t, due,
        CASE WHEN due IS NULL THEN expires END, claimant, num, ends, false, coalesce((o ->> 'attempts')::bigint, 0))
      ON CONFLICT DO NOTHING;
    IF FOUND THEN
      IF t IS NOT NULL THEN PERFORM tag_with(k, s, i, t); END IF;
      IF num IS NULL THEN RETURN NULL; END IF;
      RETURN jsonb_build_object('claimNumber', num);
    END IF;
  END IF;
  SELECT * INTO was FROM entry e WHERE e.kind = k AND e.scope = s AND e.id = head(i) AND e.rest = tail(i) FOR UPDATE;
  before := was.tags;
  IF was.expires_at <= now_ms THEN was := NULL; END IF;
  IF NOT holds(was, o, now_ms) THEN
    IF o ? 'orSkip' THEN RETURN '{"skipped": true}'; END IF;
    RETURN refusal(was);
  END IF;
  IF num IS NOT NULL THEN
    wakes := o ? 'ifClaim' AND was.woken IS TRUE;
  ELSIF was.woken AND NOT (due IS NULL AND expires IS NOT NULL) THEN
    -- The claim ends with this: due at once, but what has ended (it only expires) stays ended.
    due := least(coalesce(due, now_ms), now_ms);
  END IF;
  IF before IS NOT NULL THEN PERFORM untag(k, s, i, before); END IF;
  IF t IS NOT NULL THEN PERFORM tag_with(k, s, i, t); END IF;
  INSERT INTO entry AS e (kind, scope, id, rest, long_id, version, value, tags, due_at, expires_at, owner, number, until, woken, attempts)
    VALUES (k, s, head(i), tail(i), CASE WHEN length(i) > 200 THEN i END, o ->> 'version', o ->> 'value', t, due,
      CASE WHEN due IS NULL THEN expires END, claimant, num, ends, wakes,
      coalesce((o ->> 'attempts')::bigint, was.attempts, 0))
    ON CONFLICT (kind, scope, id, rest) DO UPDATE SET version = excluded.version, value = excluded.value, tags = excluded.tags,
      due_at = excluded.due_at, expires_at = excluded.expires_at, owner = excluded.owner, number = excluded.number,
      until = excluded.until, woken = excluded.woken, attempts = excluded.attempts;
  IF num IS NULL THEN RETURN NULL; END IF;
  RETURN jsonb_build_object('claimNumber', num);
END $$;

CREATE OR REPLACE FUNCTION op_touch(s text, o jsonb, now_ms bigint) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
  k text := o ->> 'kind'; i text := o ->> 'id';
  due bigint := (o ->> 'dueAt')::bigint; ends bigint := (o ->> 'until')::bigint;
  was entry := live_row(k, s, i, now_ms);
BEGIN
  IF was.kind IS NULL OR NOT holds(was, o, now_ms) THEN RETURN refusal(was); END IF;
  IF due IS NOT NULL THEN
    UPDATE entry e SET due_at = CASE WHEN e.woken THEN least(due, now_ms) ELSE due END, owner = NULL, number = NULL,
      until = NULL, woken = false WHERE e.kind = k AND e.scope = s AND e.id = head(i) AND e.rest = tail(i);
  ELSIF ends IS NOT NULL THEN
    UPDATE entry e SET due_at = ends, until = ends WHERE e.kind = k AND e.scope = s AND e.id = head(i) AND e.rest = tail(i);
  END IF;
  RETURN NULL;
END $$;

CREATE OR REPLACE FUNCTION drop_entry(k text, s text, i text) RETURNS void LANGUAGE plpgsql AS $$
DECLARE t jsonb;
BEGIN
  DELETE FROM entry e WHERE e.kind = k AND e.scope = s AND e.id = head(i) AND e.rest = tail(i) RETURNING e.tags INTO t;
  IF t IS NOT NULL THEN PERFORM untag(k, s, i, t); END IF;
END $$;

CREATE OR REPLACE FUNCTION op_delete(s text, o jsonb, now_ms bigint) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
  k text := o ->> 'kind'; i text := o ->> 'id';
  was entry := live_row(k, s, i, now_ms);
BEGIN
  IF NOT holds(was, o, now_ms) THEN
    IF o ? 'orSkip' THEN RETURN '{"skipped": true}'; END IF;
    RETURN refusal(was);
  END IF;
  IF was.kind IS NULL THEN RETURN '{"skipped": true}'; END IF;
  PERFORM drop_entry(k, s, i);
  RETURN NULL;
END $$;

CREATE OR REPLACE FUNCTION op_wake(s text, o jsonb, now_ms bigint) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
  k text := o ->> 'kind'; i text := o ->> 'id';
  was entry := live_row(k, s, i, now_ms);
BEGIN
  IF was.kind IS NULL OR was.expires_at IS NOT NULL THEN RETURN '{"skipped": true}'; END IF;
  UPDATE entry e SET woken = e.number IS NOT NULL,
    due_at = CASE WHEN e.number IS NOT NULL AND e.until > now_ms THEN e.due_at ELSE least(coalesce(e.due_at, now_ms), now_ms) END
    WHERE e.kind = k AND e.scope = s AND e.id = head(i) AND e.rest = tail(i);
  RETURN NULL;
END $$;
`
