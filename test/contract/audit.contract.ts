import * as fc from 'fast-check'
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import type { Scope } from '../../src/core/action.ts'
import { type AuditFilter, type AuditRecord, type AuditStore, auditRow } from '../../src/core/audit.ts'
import { isoTime } from '../../src/core/clock.ts'
import type { StateStore } from '../../src/core/state.ts'
import { testEnv } from '../fakes/env.ts'
import { followContract } from './audit-follow.ts'
import { runs } from './state/subject.ts'

/** `written` waits until what was recorded can be queried, where audit and state are apart. */
export interface OpenAudit {
  (
    env: ReturnType<typeof testEnv>,
  ): Promise<{ state: StateStore; audit: AuditStore; written?: () => Promise<void>; close: () => Promise<void> }>
  /** Of the runs of a property, for a store where each is slow: as of the state's. */
  readonly share?: number
}

export function auditContract(name: string, open: OpenAudit): void {
  describe(`audit: ${name}`, () => {
    const env = testEnv()
    const { clock } = env
    let opened: Awaited<ReturnType<OpenAudit>>
    let scope: Scope
    let n = 0
    beforeAll(async () => {
      opened = await open(env)
    })
    afterAll(() => opened.close())
    beforeEach(() => {
      scope = ['audit', `tenant ${++n}`]
    })

    function record(more: Partial<AuditRecord> = {}): AuditRecord {
      const at = isoTime(clock.now())
      return {
        id: env.newId(),
        kind: 'dispatch',
        namespace: scope[0],
        tenant: scope[1],
        action_id: `action ${env.newId()}`,
        run_id: env.newId(),
        provider: 'log',
        requested_provider: 'log',
        action_type: 'reading',
        outcome: 'executed',
        payload: { text: '\u0000 é \ud83d\ude00 "' },
        received_at: at,
        completed_at: at,
        duration_ms: 1,
        ...more,
      }
    }
    async function write(...records: AuditRecord[]): Promise<void> {
      const done = await opened.state.commit(
        scope,
        records.map((r) => ({ op: 'record', row: auditRow(r) })),
      )
      expect(done.ok).toBe(true)
      await opened.written?.()
    }
    const query = (filter: AuditFilter = {}, limit = 100, cursor?: string) =>
      opened.audit.query(scope, filter, { limit, ...(cursor === undefined ? {} : { cursor }) })
    async function walk(filter: AuditFilter, limit: number): Promise<AuditRecord[]> {
      const all: AuditRecord[] = []
      for (let cursor: string | undefined, more = true; more; ) {
        const page = await query(filter, limit, cursor)
        expect(page.records.length).toBeLessThanOrEqual(limit)
        all.push(...page.records)
        cursor = page.nextCursor
        more = cursor !== undefined
      }
      return all
    }
    const idsOf = (records: readonly AuditRecord[]) => records.map((r) => r.id)

    it('gives records back whole, newest first', async () => {
      const records = [record(), record({ chain_id: 'c', matched: ['a'], details: [1, { x: null }] }), record()]
      await write(...records)
      expect((await query()).records).toEqual([...records].reverse())
      expect((await query()).nextCursor).toBeUndefined()
    })
    it('PITFALLS 54: a record is there as soon as its commit is acknowledged, and not at all if that is refused', async () => {
      const kept = record()
      await write(kept)
      expect(idsOf((await query()).records)).toEqual([kept.id])
      const refused = await opened.state.commit(scope, [
        { op: 'record', row: auditRow(record()) },
        { op: 'delete', kind: 'k', id: 'none', ifVersion: 'v' },
      ])
      expect(refused).toMatchObject({ ok: false, at: 1 })
      await opened.state.commit(scope, [{ op: 'record', row: auditRow(record()) }], { dry: true })
      await opened.written?.()
      expect(idsOf((await query()).records)).toEqual([kept.id])
    })
    it('the same id twice is once, and the first stays', async () => {
      const first = record({ outcome: 'executed' })
      await write(first, { ...first, outcome: 'failed' })
      await write({ ...first, outcome: 'denied' })
      expect((await query()).records).toEqual([first])
    })
    it('filters by every column; provider is where it went or what was asked for', async () => {
      const a = record({ provider: 'sns', requested_provider: 'sqs', rule: 'r1', caller: 'me', kind: 'release' })
      const b = record({
        provider: 'sqs',
        action_type: 'alarm',
        outcome: 'failed',
        chain_id: 'chain 1',
        group_id: 'g1',
      })
      const c = record({ provider: 'log', action_id: a.action_id })
      await write(a, b, c)
      const found = async (f: AuditFilter) => idsOf((await query(f)).records)
      expect(await found({ provider: 'sqs' })).toEqual([b.id, a.id])
      expect(await found({ provider: 'sns' })).toEqual([a.id])
      expect(await found({ rule: 'r1' })).toEqual([a.id])
      expect(await found({ caller: 'me' })).toEqual([a.id])
      expect(await found({ kind: 'release' })).toEqual([a.id])
      expect(await found({ actionType: 'alarm' })).toEqual([b.id])
      expect(await found({ outcome: 'failed' })).toEqual([b.id])
      expect(await found({ chainId: 'chain 1' })).toEqual([b.id])
      expect(await found({ groupId: 'g1' })).toEqual([b.id])
      expect(await found({ actionId: a.action_id })).toEqual([c.id, a.id])
      expect(await found({ actionId: a.action_id, outcome: 'executed', provider: 'log' })).toEqual([c.id])
      expect(await found({ outcome: 'failed', rule: 'r1' })).toEqual([])
    })
    it('from is inclusive, to is exclusive', async () => {
      const start = clock.now()
      const records: AuditRecord[] = []
      for (let i = 0; i < 5; i++) {
        records.push(record(), record())
        await clock.advance(1)
      }
      await write(...records)
      const found = idsOf((await query({ from: start + 1, to: start + 4 })).records)
      expect(found).toEqual(idsOf(records.slice(2, 8)).reverse())
      expect((await query({ from: start + 5 })).records).toEqual([])
    })
    it('PITFALLS 16: tenants never see each other, whatever their names', async () => {
      const awkward = ['%', '_', 'a%', 'a', 'a:b', '*', '']
      for (const tenant of awkward) await write(record({ tenant, outcome: tenant }))
      for (const tenant of awkward) {
        const page = await opened.audit.query(['audit', tenant], {}, { limit: 10 })
        expect(page.records.map((r) => r.outcome)).toEqual([tenant])
      }
    })
    it('a page ends by its size too, and the next goes on from there', async () => {
      const text = 'x'.repeat(300_000)
      const records = Array.from({ length: 17 }, (_, i) =>
        record({ payload: { text }, action_id: `one ${scope[1]}`, rule: `${i}` }),
      )
      for (const r of records) await write(r)
      for (const filter of [{}, { actionId: `one ${scope[1]}` }, { outcome: 'executed' }] as const) {
        const first = await query(filter)
        expect(first.records.length).toBeGreaterThan(9)
        expect(first.records.length).toBeLessThan(17)
        expect(idsOf(await walk(filter, 100))).toEqual(idsOf(records).reverse())
      }
    })
    it('pages: each record once, later ones do not shift them (property)', async () => {
      const records = Array.from({ length: 23 }, (_, i) => record({ outcome: i % 3 === 0 ? 'failed' : 'executed' }))
      await write(...records)
      const all = idsOf(records).reverse()
      await fc.assert(
        fc.asyncProperty(fc.integer({ min: 1, max: 30 }), async (limit) => {
          expect(idsOf(await walk({}, limit))).toEqual(all)
          const failed = records.filter((r) => r.outcome === 'failed')
          expect(idsOf(await walk({ outcome: 'failed' }, limit))).toEqual(idsOf(failed).reverse())
        }),
        { numRuns: runs(open, 12), seed: 50 },
      )
      const first = await query({}, 5)
      await write(record())
      expect(idsOf((await query({}, 5, first.nextCursor)).records)).toEqual(all.slice(5, 10))
    })
    it('PITFALLS 50: a filter that finds little looks at a bounded part of the scope per page', async () => {
      const many = Array.from({ length: 2500 }, () => record({ outcome: 'executed' }))
      const needle = record({ outcome: 'denied' })
      await write(needle, ...many.map((r) => ({ ...r, id: env.newId() })))
      const first = await query({ outcome: 'denied' })
      expect(first).toEqual({ records: [], nextCursor: expect.any(String) })
      expect(idsOf(await walk({ outcome: 'denied' }, 10))).toEqual([needle.id])
    })
    it('purges the oldest of one scope up to a limit, and says how many', async () => {
      const old = [record(), record(), record()]
      await clock.advance(10)
      const before = clock.now()
      const young = record()
      await write(...old, young)
      expect(await opened.audit.purge(['audit', 'nobody'], before, 10)).toBe(0)
      expect(await opened.audit.purge(scope, before, 2)).toBe(2)
      expect(idsOf((await query()).records)).toEqual([young.id, old[2]!.id])
      expect(await opened.audit.purge(scope, before, 1000)).toBe(1)
      expect(idsOf((await query()).records)).toEqual([young.id])
      expect((await query({ actionId: old[0]!.action_id })).records).toEqual([])
    })
    it('purges by when a record was completed: what was held long stays as long as what was not, and keeps nothing behind it', async () => {
      const [early, late] = [isoTime(clock.now()), isoTime(clock.now() + 5000)]
      const held = Array.from({ length: 12 }, () => record({ completed_at: late, duration_ms: 5000 }))
      const said = record({ payload: { completed_at: late, duration_ms: 1 }, completed_at: early })
      const says = record({ payload: { completed_at: early }, completed_at: late })
      const done = [record(), record(), said]
      await write(...held, says, ...done)
      await clock.advance(4000)
      let gone = 0
      for (let i = 0; i < 20; i++) gone += await opened.audit.purge(scope, clock.now(), 2)
      expect(gone).toBe(3)
      expect(idsOf((await query()).records)).toEqual([says.id, ...idsOf(held).reverse()])
      expect(await opened.audit.purge(scope, Date.parse(late), 100)).toBe(0)
      await clock.advance(1001)
      expect(await opened.audit.purge(scope, clock.now(), 100)).toBe(13)
    })
    it('names the scopes that have records, in pages', async () => {
      const seen: string[] = []
      for (let after: Scope | undefined, more = true; more; ) {
        const page = await opened.audit.scopes(after, 3)
        seen.push(...page.map((s) => JSON.stringify(s)))
        after = page.at(-1)
        more = page.length === 3
      }
      expect(new Set(seen).size).toBe(seen.length)
      expect(seen).toContain(JSON.stringify(['audit', '%']))
      expect(seen).toContain(JSON.stringify(['audit', 'tenant 1']))
    })
    followContract(
      () => opened,
      () => scope,
      record,
      write,
      runs(open, 20),
    )
  })
}
