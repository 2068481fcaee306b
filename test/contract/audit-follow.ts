import * as fc from 'fast-check'
import { expect, it } from 'vitest'
import type { Scope } from '../../src/core/action.ts'
import {
  type AuditFollow,
  type AuditFollowed,
  type AuditRecord,
  type AuditStore,
  auditRow,
} from '../../src/core/audit.ts'
import type { StateStore } from '../../src/core/state.ts'

/** The part of the audit contract on `follow`. The trail is everybody's, so that cases look for what they have written themselves. */
export function followContract(
  opened: () => { readonly state: StateStore; readonly audit: AuditStore; readonly written?: () => Promise<void> },
  scope: () => Scope,
  record: (more?: Partial<AuditRecord>) => AuditRecord,
  write: (...records: AuditRecord[]) => Promise<void>,
  numRuns: number,
): void {
  const follow = (after: string | undefined, more: Partial<AuditFollow> = {}): Promise<AuditFollowed> =>
    opened().audit.follow({ after, limit: 1000, maxChars: 1e9, ...more })
  const end = async (): Promise<string> => (await follow(undefined)).next
  const read = (page: AuditFollowed) => page.rows.map((r) => JSON.parse(r.json) as AuditRecord)
  const ids = (records: readonly AuditRecord[]) => records.map((r) => r.id)
  /** Everything from a position on, in pages; each page keeps to the contract by itself. */
  async function walk(after: string, more: Partial<AuditFollow> = {}): Promise<AuditRecord[]> {
    const all: AuditRecord[] = []
    for (let at = after, on = true; on; ) {
      const page = await follow(at, more)
      expect(page.rows.length).toBeLessThanOrEqual(more.limit ?? 1000)
      if (page.more) expect(page.rows.length).toBeGreaterThan(0)
      expect(page.next).toBe(page.rows.at(-1)?.position ?? at)
      all.push(...read(page))
      at = page.next
      on = page.more
    }
    return all
  }

  it('follow: from its end nothing, then what was recorded since, whole, in the order of the commits whatever the ids say', async () => {
    const from = await end()
    expect(await follow(from)).toEqual({ rows: [], next: from, more: false })
    const [older, newer] = [record(), record({ details: [1, { x: null }], matched: ['a'] })]
    await write(newer)
    await write(older)
    const page = await follow(from)
    expect(read(page)).toEqual([newer, older])
    expect(page.missed).toBeUndefined()
    expect(new Set(page.rows.map((r) => r.position)).size).toBe(2)
    expect(await end()).toBe(page.next)
  })
  it('follow: every scope has its turn; the empty one of administrative records too', async () => {
    const from = await end()
    const all = [record(), record({ tenant: '%' }), record({ namespace: '', tenant: '' }), record({ tenant: 'a:b' })]
    for (const r of all) await write(r)
    expect(ids(await walk(from))).toEqual(ids(all))
  })
  it('follow: a record written twice is shown once, one of a refused or dry commit never', async () => {
    const from = await end()
    const once = record()
    await write(once, { ...once, outcome: 'failed' })
    await write({ ...once, outcome: 'denied' })
    await opened().state.commit(scope(), [{ op: 'record', row: auditRow(record()) }], { dry: true })
    await opened().state.commit(scope(), [
      { op: 'record', row: auditRow(record()) },
      { op: 'delete', kind: 'k', id: 'none', ifVersion: 'v' },
    ])
    await opened().written?.()
    expect(await walk(from)).toEqual([once])
  })
  it('follow: resumes from any position, and in pages of any size, without a gap or a repetition (property)', async () => {
    const from = await end()
    const records = Array.from({ length: 23 }, () => record())
    await write(...records.slice(0, 9))
    for (const r of records.slice(9)) await write(r)
    const all = await walk(from)
    expect(ids(all).sort()).toEqual(ids(records).sort())
    const positions = [from, ...(await follow(from)).rows.map((r) => r.position)]
    const chars = JSON.stringify(records[0]).length
    await fc.assert(
      fc.asyncProperty(
        fc.nat({ max: 23 }),
        fc.integer({ min: 1, max: 30 }),
        fc.integer({ min: 1, max: chars * 30 }),
        async (start, limit, maxChars) => {
          expect(ids(await walk(positions[start]!, { limit, maxChars }))).toEqual(ids(all.slice(start)))
        },
      ),
      { numRuns, seed: 50 },
    )
  })
  it('follow: a page ends when it is large, but one large record passes', async () => {
    const from = await end()
    const large = [record({ payload: { x: 'x'.repeat(5000) } }), record({ payload: { x: 'y'.repeat(5000) } })]
    for (const r of large) await write(r)
    const first = await follow(from, { maxChars: 100 })
    expect([ids(read(first)), first.more]).toEqual([[large[0]!.id], true])
    const second = await follow(first.next, { maxChars: 100 })
    expect([ids(read(second)), second.more]).toEqual([[large[1]!.id], false])
  })
  it('follow: who reads while commits overlap, in this scope and others, is shown each of them once', async () => {
    const from = await end()
    const { state, written } = opened()
    const wanted: string[] = []
    const seen: string[] = []
    let writing = true
    const reader = (async () => {
      for (let at = from, last = false; ; ) {
        if (!writing) last = true // what was acknowledged before this look has to be in it
        const page = await follow(at, { limit: 7 })
        seen.push(...ids(read(page)))
        at = page.next
        if (last && !page.more) return
      }
    })()
    await Promise.all(
      Array.from({ length: 8 }, async (_, writer) => {
        for (let i = 0; i < 25; i++) {
          const rows = Array.from({ length: 1 + ((writer + i) % 3) }, () => record({ tenant: `writer ${writer % 4}` }))
          wanted.push(...ids(rows))
          const at: Scope = ['audit', `writer ${writer % 4}`]
          expect(
            (
              await state.commit(
                at,
                rows.map((r) => ({ op: 'record', row: auditRow(r) })),
              )
            ).ok,
          ).toBe(true)
          if (i % 5 === 0) await written?.()
        }
      }),
    )
    await written?.()
    writing = false
    await reader
    expect(new Set(seen).size).toBe(seen.length)
    expect([...seen].sort()).toEqual([...wanted].sort())
  })
  it('follow: what was purged unread is told, and the rest is shown; who has read it, or follows another scope, is told nothing', async () => {
    const { audit } = opened()
    const from = await end()
    const mine = [record(), record(), record()]
    const other = record({ tenant: 'unpurged' })
    await write(...mine, other)
    const read3 = (await follow(from)).rows
    const below = Date.parse(mine[0]!.received_at) + 1
    expect(await audit.purge(scope(), below, 2)).toBe(2)
    const left = await follow(from, { scope: scope() })
    expect(ids(read(left))).toEqual([mine[2]!.id, other.id])
    expect(left.missed).toEqual({ why: 'purged', upTo: read3[1]!.position })
    expect((await follow(from)).missed).toEqual(left.missed)
    expect((await follow(from, { scope: ['audit', 'unpurged'] })).missed).toBeUndefined()
    expect((await follow(read3[0]!.position, { scope: scope() })).missed).toEqual(left.missed)
    expect((await follow(read3[1]!.position, { scope: scope() })).missed).toBeUndefined()
    expect(await audit.purge(scope(), below, 10)).toBe(1)
    expect((await follow(from, { scope: scope() })).missed).toEqual({ why: 'purged', upTo: read3[2]!.position })
    expect(ids(read(await follow(from)))).toEqual([other.id])
  })
  it('follow: the end stays where it is when the last rows are purged, and what comes then comes after it', async () => {
    const from = await end()
    const gone = record()
    await write(gone)
    const last = await end()
    expect(await opened().audit.purge(scope(), Date.parse(gone.received_at) + 1, 10)).toBe(1)
    const next = record()
    await write(next)
    const page = await follow(last, { scope: scope() })
    expect([ids(read(page)), page.missed]).toEqual([[next.id], undefined])
    expect(page.next).not.toBe(last)
    expect((await follow(from, { scope: scope() })).missed).toEqual({ why: 'purged', upTo: last })
  })
  it('follow: a position of no trail, or of another, is told, and the end is where to go on', async () => {
    await write(record())
    const now = await end()
    for (const position of ['', 'x', '-1', '0', '99999999999999999999', `${now}0000`, `${now} `, 'é', '1-1', '../..'])
      expect(await follow(position), position).toEqual({ rows: [], next: now, more: false, missed: { why: 'unknown' } })
  })
}
