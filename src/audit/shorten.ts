import type { AuditRecord, AuditRow, AuditRows } from '../core/audit.ts'
import type { Json } from '../core/json.ts'
import { fitsIn } from '../core/utf8.ts'

/** Of what is left of a record; else its metadata and the names of its rules go as well. Bytes. */
const LEAST_ROOM = 32 * 1024

/** A record without what may be long in it, which its details say, and why. */
export function shortened(row: AuditRow, why: string, room = LEAST_ROOM): AuditRow {
  const { payload: _payload, details: _details, received: _received, ...rest } = JSON.parse(row.json) as AuditRecord
  const note = (...leftOut: readonly string[]): { details: Json } => ({
    details: { shortened: { why, left_out: leftOut } },
  })
  const json = JSON.stringify({ ...rest, ...note('payload', 'details') })
  if (Buffer.byteLength(json) <= room) return { ...row, json }
  const { metadata: _metadata, matched: _matched, ...least } = rest
  return { ...row, json: JSON.stringify({ ...least, ...note('payload', 'details', 'metadata', 'matched') }) }
}

/** The way to an audit that keeps no record of more bytes: one that has become longer on its way arrives shortened. */
export function fitting(audit: Pick<AuditRows, 'append'>, room: number): Pick<AuditRows, 'append'> {
  const why = `the audit keeps records of up to ${Math.floor(room / 1024)} KB`
  return {
    append: (rows) => audit.append(rows.map((row) => (fitsIn(row.json, room) ? row : shortened(row, why, room)))),
  }
}
