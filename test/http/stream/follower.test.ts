import * as fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import type { Scope } from '../../../src/core/action.ts'
import { type AuditRecord, type AuditStore, auditRow } from '../../../src/core/audit.ts'
import { isoTime } from '../../../src/core/clock.ts'
import { Follower } from '../../../src/http/stream/follower.ts'
import type { Missed, Shown } from '../../../src/http/stream/shown.ts'
import { TAIL_LIMITS, Tail } from '../../../src/http/stream/tail.ts'
import { type TestEnv, testEnv } from '../../fakes/env.ts'
import { type MemoryState, memoryState } from '../../fakes/store.ts'

const SCOPE: Scope = ['a', 'b']
/** Small, so that everything that happens at an edge happens often. */
const LIMITS = { ...TAIL_LIMITS, page: 4, pageChars: 2000, keep: 6, keepChars: 3000 }
const MOST_BEHIND = 9

interface Trail {
  readonly env: TestEnv
  readonly memory: MemoryState
  readonly tail: Tail
  /** Ids in the order they were recorded. */
  readonly written: string[]
  write(n: number, chars?: number): Promise<void>
  follower(after?: string): Promise<Client>
}
interface Client {
  readonly follower: Follower
  readonly shown: Shown[]
  readonly missed: Missed[]
  /** Takes what there is now, or only so many pages of it. */
  take(pages?: number): Promise<void>
}

type Followed = Pick<AuditStore, 'follow'>
async function trail(
  limits = LIMITS,
  mostBehind = MOST_BEHIND,
  as: (audit: Followed, env: TestEnv) => Followed = (audit) => audit,
): Promise<Trail> {
  const env = testEnv()
  const memory = await memoryState(env)
  const audit = as(memory.audit, env)
  const tail = new Tail(audit, env, limits)
  const written: string[] = []
  return {
    env,
    memory,
    tail,
    written,
    async write(n, chars = 10) {
      const at = isoTime(env.clock.now())
      const records = Array.from({ length: n }, (_, i): AuditRecord => {
        const id = env.newId()
        return {
          id,
          kind: 'dispatch',
          namespace: SCOPE[0],
          tenant: SCOPE[1],
          action_id: `${written.length + i}`,
          run_id: id,
          action_type: 't',
          outcome: 'executed',
          payload: { x: 'x'.repeat(chars) },
          received_at: at,
          completed_at: at,
          duration_ms: 0,
        }
      })
      await memory.state.commit(
        SCOPE,
        records.map((r) => ({ op: 'record', row: auditRow(r) })),
      )
      written.push(...records.map((r) => r.id))
      tail.recorded()
    },
    async follower(after) {
      const position = after ?? (await audit.follow({ after: undefined, limit: 1, maxChars: 1 })).next
      const follower = new Follower(tail, env, { position, scope: SCOPE }, mostBehind)
      const shown: Shown[] = []
      const missed: Missed[] = []
      return {
        follower,
        shown,
        missed,
        async take(pages = 1000) {
          for (let i = 0; i < pages; i++) {
            const taking = follower.next(env.clock.now())
            await env.clock.settle()
            const taken = await taking
            if (taken.shown.length === 0 && taken.missed === undefined) return
            shown.push(...taken.shown)
            if (taken.missed !== undefined) missed.push(taken.missed)
          }
        },
      }
    },
  }
}
/** An hour of the store's, short as the tail looks often. */
const HOUR_MS = 20_000
/** Positions grow old, and are said anew each hour where nothing has happened, as on DynamoDB. */
const ageing = (audit: Followed, { clock }: TestEnv): Followed => ({
  async follow(f) {
    const hour = (ms: number): number => Math.floor(ms / HOUR_MS)
    const now = hour(clock.now())
    const [said, inner] = f.after?.split('@') ?? []
    const known = f.after === undefined || now - Number(said) <= 2
    const { rows, next, ...page } = await audit.follow({ ...f, after: known ? inner : undefined })
    const placed = rows.map(({ position, json }) => {
      const at = hour(Date.parse((JSON.parse(json) as AuditRecord).received_at))
      return { position: `${Math.max(at, Number(said))}@${position}`, json }
    })
    const end = placed.at(-1)?.position ?? `${now}@${next}`
    return { ...page, rows: placed, next: end, ...(!known && { missed: { why: 'unknown' } }) }
  },
})
const ids = (shown: readonly Shown[]) => shown.map((s) => s.record.id)

describe('a follower', () => {
  test('that idles for longer than positions last has one that is good, and misses nothing', async () => {
    const t = await trail(LIMITS, MOST_BEHIND, ageing)
    const here = await t.follower()
    await t.write(3)
    await t.env.clock.advance(1000)
    await here.take()
    expect(ids(here.shown)).toEqual(t.written)
    for (let hour = 0; hour < 12; hour++) {
      await t.env.clock.advance(HOUR_MS)
      await here.take()
    }
    const back = await t.follower(here.follower.position)
    await t.write(2)
    await t.env.clock.advance(1000)
    await here.take()
    await back.take()
    expect(ids(here.shown)).toEqual(t.written)
    expect(ids(back.shown)).toEqual(t.written.slice(3))
    expect([here.missed, back.missed]).toEqual([[], []])
    here.follower.leave()
    back.follower.leave()
    await t.env.clock.settle()
  })
  test('shows each record once, in order, or tells where what it leaves out lies, whoever else follows (property)', async () => {
    const step = fc.oneof(
      fc.record({ do: fc.constant('write'), n: fc.integer({ min: 1, max: 12 }), chars: fc.constantFrom(10, 10, 900) }),
      fc.record({ do: fc.constant('take'), n: fc.nat({ max: 3 }), chars: fc.integer({ min: 1, max: 6 }) }),
      fc.record({ do: fc.constant('wait'), n: fc.constantFrom(20, 600), chars: fc.constant(0) }),
      fc.record({ do: fc.constant('come'), n: fc.nat({ max: 3 }), chars: fc.constantFrom(0, 1) }),
    )
    await fc.assert(
      fc.asyncProperty(fc.array(step, { maxLength: 30 }), async (steps) => {
        const t = await trail()
        const first = (await t.memory.audit.follow({ after: undefined, limit: 1, maxChars: 1 })).next
        const clients: { client: Client; from: number }[] = []
        const come = async (old: boolean): Promise<void> => {
          const from = old ? 0 : t.written.length
          clients.push({ client: await t.follower(old ? first : undefined), from })
        }
        await come(false)
        for (const s of steps) {
          const one = clients[s.n % clients.length]!
          if (s.do === 'write') await t.write(s.n, s.chars)
          else if (s.do === 'take') await one.client.take(s.chars)
          else if (s.do === 'wait') await t.env.clock.advance(s.n)
          else if (clients.length < 4) await come(s.chars === 1)
        }
        await t.env.clock.advance(2000)
        for (const { client } of clients) await client.take()
        await t.env.clock.advance(2000)
        const all = (await t.memory.audit.follow({ after: first, limit: 1e6, maxChars: 1e9 })).rows
        const at = new Map([[first, 0], ...all.map((r, i) => [r.position, i + 1] as const)])
        for (const { client, from } of clients) {
          await client.take()
          const left = new Set(client.missed.flatMap((m) => t.written.slice(at.get(m.after), at.get(m.until))))
          expect(ids(client.shown)).toEqual(t.written.slice(from).filter((id) => !left.has(id)))
          for (const m of client.missed) expect(m.records).toBe(at.get(m.until)! - at.get(m.after)!)
          expect(client.follower.position).toBe(all.at(-1)?.position ?? first)
          client.follower.leave()
        }
        await t.env.clock.advance(1000)
        await t.tail.stopped()
      }),
      { numRuns: 60, seed: 4 },
    )
  }, 60_000)
  test('that reads too slowly is told how much it missed and where that lies, and can have it all the same', async () => {
    const t = await trail()
    const c = await t.follower()
    await t.env.clock.advance(100)
    await t.write(2)
    await t.env.clock.advance(100)
    await c.take()
    expect(ids(c.shown)).toEqual(t.written)
    for (let i = 0; i < 10; i++) {
      await t.write(3)
      await t.env.clock.advance(100)
    }
    await c.take()
    const [missed] = c.missed
    expect(c.missed).toHaveLength(1)
    expect(missed).toMatchObject({ reason: 'slow', after: c.shown[1]!.position, records: 24 })
    expect(ids(c.shown)).toEqual([...t.written.slice(0, 2), ...t.written.slice(-6)])
    // Asked for by its position it is all there: an old position is read to the end, however long that takes.
    const again = await t.follower(missed!.after)
    await again.take()
    expect([ids(again.shown), again.missed]).toEqual([t.written.slice(2), []])
  })
  test('a little behind, it reads what the tail has let go of by itself, and nothing is missed', async () => {
    const t = await trail()
    const c = await t.follower()
    await t.env.clock.advance(100)
    await c.take()
    await t.write(3)
    await t.env.clock.advance(100)
    await t.write(5)
    await t.env.clock.advance(100)
    await c.take()
    expect([ids(c.shown), c.missed]).toEqual([t.written, []])
  })
  test('nothing is kept for it: what the tail has is bounded by number and by size', async () => {
    const t = await trail()
    const c = await t.follower()
    await t.env.clock.advance(100)
    await c.take()
    for (let i = 0; i < 50; i++) {
      await t.write(5, i % 2 === 0 ? 10 : 2000)
      await t.env.clock.advance(100)
      expect(t.tail.end - t.tail.first).toBeLessThanOrEqual(LIMITS.keep)
    }
    expect(t.tail.end).toBe(250)
    expect(t.tail.from(t.tail.first).reduce((sum, s) => sum + s.chars, 0)).toBeLessThanOrEqual(LIMITS.keepChars)
    await c.take()
    expect(c.missed).toHaveLength(1)
  })
  test('purged while it waits at the end: told, though the tail was first to look', async () => {
    const t = await trail()
    const c = await t.follower()
    await t.env.clock.advance(100)
    await t.write(1)
    await t.env.clock.advance(100)
    await c.take()
    // Written and gone between two looks.
    await t.write(2)
    await t.memory.audit.purge(SCOPE, t.env.clock.now() + 1, 10)
    await t.env.clock.advance(1000)
    await t.write(1)
    await t.env.clock.advance(1000)
    await c.take()
    expect(c.missed).toMatchObject([{ reason: 'purged', after: c.shown[0]!.position }])
    expect(ids(c.shown)).toEqual([t.written[0], t.written[3]])
  })
})

test('who leaves while the store is asked waits for nothing more', async () => {
  const { env, memory } = await trail()
  const asked: (() => void)[] = []
  const slow: typeof memory.audit.follow = async (at) => {
    await new Promise<void>((answer) => asked.push(answer))
    return memory.audit.follow(at)
  }
  const { next: position } = await memory.audit.follow({ after: undefined, limit: 1, maxChars: 1 })
  const follower = new Follower(new Tail({ follow: slow }, env), env, { position, scope: undefined })
  let over = false
  const taken = follower.next(env.clock.now() + 15_000).finally(() => {
    over = true
  })
  follower.leave()
  for (const answer of asked) answer()
  await env.clock.settle()
  // A timer that nobody wakes would keep a process that stops for as long.
  expect([over, env.clock.pending]).toEqual([true, 0])
  expect(await taken).toEqual({ shown: [] })
})
