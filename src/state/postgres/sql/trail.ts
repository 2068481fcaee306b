import { settings } from './settings.ts'

/** Held, shared, by every transaction that may record, from before it has a number until after it has ended. */
export const TRAIL_LOCK = '731629, 1'

/**
 * The audit in an order in which it can be followed: by the number of the transaction, then by row. A transaction has its number before
 * its rows are visible, so rows above the lowest one that may still bring some are held back (the horizon). One that is under way after we
 * have looked at who holds the trail's lock, and did not hold it, is none of those: a long transaction of somebody else's holds nothing up.
 */
export const trail = (schema: string): string => `
CREATE OR REPLACE FUNCTION follow_audit(after_xid xid8, after_seq bigint, most bigint, max_chars bigint, s text)
  RETURNS jsonb LANGUAGE plpgsql ${settings(schema)} AS $$
DECLARE
  snap pg_snapshot; seen jsonb; purged jsonb; known boolean; writers xid[]; horizon xid8; rows jsonb; ending jsonb;
BEGIN
  -- One moment: rows read before a purge, and that purge, would look like rows missed.
  SELECT pg_current_snapshot(),
    (after_xid, after_seq) = ('0'::xid8, 0)
      OR EXISTS (SELECT FROM audit WHERE (xid, seq) >= (after_xid, after_seq))
      OR EXISTS (SELECT FROM audit_purged WHERE (xid, seq) >= (after_xid, after_seq)),
    (SELECT jsonb_agg(jsonb_build_object('xid', p.xid::text, 'seq', p.seq, 'json',
        CASE WHEN p.before < max_chars AND p.place <= most THEN p.json END) ORDER BY p.place)
      FROM (SELECT a.xid, a.seq, a.json, row_number() OVER w AS place, sum(length(a.json)) OVER w - length(a.json) AS before
        FROM (SELECT x.xid, x.seq, x.json FROM audit x WHERE (x.xid, x.seq) > (after_xid, after_seq)
          ORDER BY x.xid, x.seq LIMIT most + 1) a
        WINDOW w AS (ORDER BY a.xid, a.seq)) p),
    (SELECT jsonb_build_object('xid', p.xid::text, 'seq', p.seq) FROM audit_purged p
      WHERE (s IS NULL OR p.scope = s) AND (p.xid, p.seq) > (after_xid, after_seq) ORDER BY p.xid DESC, p.seq DESC LIMIT 1)
    INTO snap, known, seen, purged;
  WITH l AS MATERIALIZED (SELECT * FROM pg_locks WHERE granted)
    SELECT array_agg(t.transactionid) INTO writers FROM l t WHERE t.locktype = 'transactionid' AND t.mode = 'ExclusiveLock'
      AND t.pid IN (SELECT pid FROM l WHERE l.locktype = 'advisory' AND (l.classid, l.objid, l.objsubid) = (${TRAIL_LOCK}, 2));
  -- After the look at the locks: a lock is given back a moment before its transaction is seen to have ended.
  SELECT x INTO horizon FROM pg_snapshot_xip(snap) AS x
    WHERE x::xid = ANY (writers) OR pg_xact_status(x) IS DISTINCT FROM 'in progress' ORDER BY x LIMIT 1;
  horizon := coalesce(horizon, pg_snapshot_xmax(snap));
  IF known IS TRUE THEN
    SELECT jsonb_agg(r) INTO rows FROM jsonb_array_elements(seen) AS r WHERE (r ->> 'xid')::xid8 < horizon;
    RETURN jsonb_build_object('rows', coalesce(rows, '[]'), 'purged', purged);
  END IF;
  SELECT jsonb_build_object('xid', e.xid::text, 'seq', e.seq) INTO ending FROM (
    (SELECT xid, seq FROM audit WHERE xid < horizon ORDER BY xid DESC, seq DESC LIMIT 1) UNION ALL
    (SELECT xid, seq FROM audit_purged WHERE xid < horizon ORDER BY xid DESC, seq DESC LIMIT 1)) e
    ORDER BY e.xid DESC, e.seq DESC LIMIT 1;
  RETURN jsonb_build_object('end', coalesce(ending, '{"xid": "0", "seq": 0}'));
END $$;
`
