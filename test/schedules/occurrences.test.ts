import { beforeEach, describe, expect, test } from 'vitest'
import type { Scope } from '../../src/core/action.ts'
import { type Hold, kinds } from '../../src/core/hold.ts'
import type { Claimed, StateStore } from '../../src/core/state.ts'
import { type Occurred, occur, type SkippedRecord } from '../../src/schedules/occurrences.ts'
import { type Recurrings, recurrings } from '../../src/schedules/recurrings.ts'
import { putHold } from '../../src/schedules/schedule.ts'
import { type TestEnv, testEnv } from '../fakes/env.ts'
import { crashing, type MemoryState, memoryState, replyLost } from '../fakes/store.ts'

const SCOPE: Scope = ['iot', 'hq']
const MINUTE = 60_000
const HOUR = 60 * MINUTE

let env: TestEnv
let store: MemoryState
let state: StateStore
let defs: Recurrings
let skipped: SkippedRecord[]
/** Actions that have started an execution which goes on. */
let executions: Set<string>

/** A node: it claims what is due and makes the occurrences. */
function node(owner: string, on: StateStore = state) {
  const deps = {
    state: on,
    now: env.clock.now,
    newId: env.newId,
    lateMs: () => 2_000,
    isUnderWay: async (_: Scope, actionId: string) => executions.has(actionId),
    record: (r: SkippedRecord) => {
      skipped.push(r)
      return []
    },
  }
  return {
    claim: () => on.claim(kinds.recurring, { owner, leaseMs: 30_000, limit: 10 }),
    make: (entry: Claimed) => occur(deps, entry),
    async tick(): Promise<Occurred[]> {
      const done: Occurred[] = []
      for (;;) {
        const claimed = await this.claim()
        if (claimed.length === 0) return done
        for (const entry of claimed) done.push(await this.make(entry))
      }
    },
  }
}
const holds = async (): Promise<Hold[]> =>
  (await state.list(kinds.occurrence, SCOPE, { limit: 1000 })).entries.map((e) => JSON.parse(e.value) as Hold)
const times = async (): Promise<string[]> => (await holds()).map((h) => h.action.created_at).sort()
const release = async (): Promise<void> => {
  for (const h of await holds()) await state.commit(SCOPE, [{ op: 'delete', kind: kinds.occurrence, id: h.runId }])
}
const BODY = { action_type: 'ping', cron_expression: '*/5 * * * *', provider: 'log', description: 'new' }
const define = (more: object = {}) =>
  defs.put(
    SCOPE,
    'heartbeat',
    { action_type: 'ping', cron_expression: '*/5 * * * *', provider: 'log', ...more },
    { caller: 'test' },
  )

beforeEach(async () => {
  env = testEnv()
  store = await memoryState(env)
  state = store.state
  skipped = []
  executions = new Set()
  defs = open(state)
})
const open = (on: StateStore): Recurrings =>
  recurrings({
    state: on,
    now: env.clock.now,
    newId: env.newId,
    redact: (v) => v,
    maxPerScope: () => 3,
    providerError: () => undefined,
    changed: () => undefined,
  })

describe('an occurrence', () => {
  test('is a hold with rendered templates, and the definition moves on in the same commit', async () => {
    await define({
      payload: { at: '{{execution_time}}', n: '{{execution_count}}' },
      dedup_key: 'hb-{{execution_count}}',
      metadata: { nth: '{{execution_count}}', run: 'no. {{execution_count}}', zone: 'b' },
    })
    await env.clock.advance(5 * MINUTE)
    expect(await node('a').tick()).toEqual(['fired'])
    const [hold] = await holds()
    expect(hold?.action).toMatchObject({
      provider: 'log',
      action_type: 'ping',
      payload: { at: '2026-01-05T12:05:00.000Z', n: 1 },
      dedup_key: 'hb-1',
      metadata: { nth: '1', run: 'no. 1', zone: 'b' },
    })
    expect(hold?.counted).toBe(false)
    // Remembered for longer than a node may pause that believes it has the claim.
    const [mark] = await state.get([{ kind: kinds.occurred, scope: SCOPE, id: hold!.runId }])
    expect(mark?.expiresAt).toBe(env.clock.now() + 24 * HOUR)
    expect(hold?.resume).toBeUndefined()
    const now = await defs.get(SCOPE, 'heartbeat')
    expect(now?.view).toMatchObject({ execution_count: 1, next_execution_at: '2026-01-05T12:10:00.000Z' })
  })
  test('PITFALLS 27: one claimed before its time, as by a node whose clock is ahead, is made when it is time', async () => {
    await define()
    const [entry] = (await state.list(kinds.recurring, SCOPE, { limit: 1 })).entries
    const claim = { owner: 'early', number: 1, until: env.clock.now() + 30_000 }
    const { key, value } = entry!
    const early = { owner: claim.owner, until: claim.until }
    const put = { op: 'put', kind: key.kind, id: key.id, value, version: 'early', claim: early } as const
    const done = await state.commit(SCOPE, [put])
    const number = done.ok ? done.results[0]!.claimNumber! : 0
    expect(await node('early').make({ ...entry!, attempts: 1, claim: { ...claim, number } })).toBe('waiting')
    expect(await holds()).toEqual([])
    expect(await node('a').tick()).toEqual([])
    await env.clock.advance(5 * MINUTE)
    expect(await node('a').tick()).toEqual(['fired'])
    expect(await times()).toEqual(['2026-01-05T12:05:00.000Z'])
  })
  test('PITFALLS 27: one that is due while its definition is edited is made all the same, once', async () => {
    await define()
    await env.clock.advance(5 * MINUTE + 1_000)
    await define({ description: 'edited' })
    expect(await node('a').tick()).toEqual(['fired'])
    await define({ description: 'edited again' })
    expect(await node('a').tick()).toEqual([])
    expect(await times()).toEqual(['2026-01-05T12:05:00.000Z'])
    // Another time of its own begins after now.
    await env.clock.advance(5 * MINUTE)
    await define({ cron_expression: '*/4 * * * *' })
    expect(await node('a').tick()).toEqual([])
    expect((await defs.get(SCOPE, 'heartbeat'))?.view['next_execution_at']).toBe('2026-01-05T12:12:00.000Z')
  })
  test('an edit that an occurrence overtakes is made again on what that has left', async () => {
    await define()
    await env.clock.advance(5 * MINUTE)
    const get = state.get
    let looks = 0
    const overtaken = {
      ...state,
      async get(keys: Parameters<StateStore['get']>[0]) {
        const found = await get(keys)
        if (keys[0]?.kind === kinds.recurring && ++looks === 1) await node('a').tick()
        return found
      },
    }
    const edited = await open(overtaken).put(SCOPE, 'heartbeat', BODY, { caller: 'test' })
    expect(edited.view).toMatchObject({ execution_count: 1, next_execution_at: '2026-01-05T12:10:00.000Z' })
    expect(await node('a').tick()).toEqual([])
    expect(await times()).toEqual(['2026-01-05T12:05:00.000Z'])
  })
  test('PITFALLS 27: two nodes on one store make one each time, every time', async () => {
    await define()
    const [a, b] = [node('a'), node('b')]
    for (let i = 0; i < 12; i++) {
      await env.clock.advance(5 * MINUTE)
      await Promise.all([a.tick(), b.tick()])
    }
    expect((await times()).length).toBe(12)
    expect(new Set(await times()).size).toBe(12)
  })
  test('PITFALLS 27: a node that paused longer than its claim writes nothing', async () => {
    await define()
    await env.clock.advance(5 * MINUTE)
    const [entry] = await node('slow').claim()
    await env.clock.advance(31_000)
    expect(await node('b').tick()).toEqual(['fired'])
    expect(await node('slow').make(entry!)).toBe('lost')
    expect(await times()).toEqual(['2026-01-05T12:05:00.000Z'])
  })
  test('PITFALLS 27: one that was made and already released is not made again, whatever became of the definition', async () => {
    await define()
    const before = (await state.get([{ kind: kinds.recurring, scope: SCOPE, id: 'heartbeat' }]))[0]!
    await env.clock.advance(5 * MINUTE)
    await node('a').tick()
    await release()
    // As a write of a node whose clock is behind would leave it: due at the same occurrence once more.
    await state.commit(SCOPE, [
      { op: 'put', kind: kinds.recurring, id: 'heartbeat', value: before.value, version: 'back', dueAt: before.dueAt! },
    ])
    expect(await node('a').tick()).toEqual(['skipped'])
    expect(await holds()).toEqual([])
    const now = await defs.get(SCOPE, 'heartbeat')
    expect(now?.view['next_execution_at']).toBe('2026-01-05T12:10:00.000Z')
  })
  test('PITFALLS 27: survives a restart: what was due while nobody ran is made once', async () => {
    await define()
    await env.clock.advance(5 * MINUTE)
    store = await store.restart()
    state = store.state
    await env.clock.advance(20_000)
    expect(await node('b').tick()).toEqual(['fired'])
    expect(await times()).toEqual(['2026-01-05T12:05:00.000Z'])
  })
  test('a commit whose answer was lost is not made again', async () => {
    await define()
    await env.clock.advance(5 * MINUTE)
    const lossy = node(
      'a',
      replyLost(state, (n) => n === 2),
    )
    await expect(lossy.tick()).rejects.toThrow('lost')
    await env.clock.advance(31_000)
    expect(await node('b').tick()).toEqual([])
    expect(await times()).toEqual(['2026-01-05T12:05:00.000Z'])
  })
})

describe.each(['before', 'after', 'reply-lost'] as const)('PITFALLS 27: a node that dies %s its', (when) => {
  test.each([1, 2, 3])('write %i leaves one occurrence, made once', async (n) => {
    await define()
    await env.clock.advance(5 * MINUTE)
    const dying = crashing(state, n, when)
    await node('a', dying)
      .tick()
      .catch(() => [])
    store = await store.restart()
    state = store.state
    await env.clock.advance(31_000)
    await node('b').tick()
    expect(dying.crashed).toBe(true)
    expect(await times()).toEqual(['2026-01-05T12:05:00.000Z'])
    const [entry] = await state.get([{ kind: kinds.recurring, scope: SCOPE, id: 'heartbeat' }])
    expect(JSON.parse(entry!.value)).toMatchObject({ executionCount: 1 })
    expect(entry?.dueAt).toBe(Date.parse('2026-01-05T12:10:00Z'))
  })
})

describe('missed ticks', () => {
  test('PITFALLS 27: a tick that is late by less than a minute makes every occurrence it finds', async () => {
    await define({ cron_expression: '*/20 * * * * *' })
    await env.clock.advance(59_000)
    expect(await node('a').tick()).toEqual(['fired', 'fired'])
    expect(await times()).toEqual(['2026-01-05T12:00:20.000Z', '2026-01-05T12:00:40.000Z'])
  })
  test('PITFALLS 27: fire_once makes the latest for all that were missed', async () => {
    await define()
    await env.clock.advance(8 * HOUR + 2 * MINUTE)
    expect(await node('a').tick()).toEqual(['fired'])
    expect(await times()).toEqual(['2026-01-05T20:00:00.000Z'])
    const now = await defs.get(SCOPE, 'heartbeat')
    expect(now?.view['next_execution_at']).toBe('2026-01-05T20:05:00.000Z')
  })
  test('skip makes none of them, and says so in the audit', async () => {
    await define({ missed: 'skip' })
    await env.clock.advance(8 * HOUR + 2 * MINUTE)
    expect(await node('a').tick()).toEqual(['skipped'])
    expect(await holds()).toEqual([])
    expect(skipped).toMatchObject([{ outcome: 'suppressed', details: { reason: 'missed', recurring: 'heartbeat' } }])
    const now = await defs.get(SCOPE, 'heartbeat')
    expect(now?.view).toMatchObject({
      skipped_count: 1,
      execution_count: 0,
      next_execution_at: '2026-01-05T20:05:00.000Z',
    })
  })
  test('skip still makes the one that is on time', async () => {
    await define({ missed: 'skip' })
    await env.clock.advance(8 * HOUR + 5_000)
    expect(await node('a').tick()).toEqual(['fired'])
    expect(await times()).toEqual(['2026-01-05T20:00:00.000Z'])
  })
  test('a cron of every second that was down for a month finds the latest at once', async () => {
    await define({ cron_expression: '* * * * * *' })
    await env.clock.advance(30 * 24 * HOUR)
    const [entry] = await node('a').claim()
    expect(await node('a').make(entry!)).toBe('fired')
    expect(await times()).toEqual(['2026-02-04T12:00:00.000Z'])
  })
})

describe('limits of a definition', () => {
  test('overlap_policy skip: one that is still held or on its way keeps the next from being made', async () => {
    await define({ overlap_policy: 'skip' })
    await env.clock.advance(5 * MINUTE)
    expect(await node('a').tick()).toEqual(['fired'])
    const [first] = await holds()
    await env.clock.advance(5 * MINUTE)
    expect(await node('a').tick()).toEqual(['skipped'])
    await release()
    await state.commit(SCOPE, [
      { op: 'put', kind: kinds.intent, id: first!.runId, value: '{}', version: '1', dueAt: env.clock.now() + HOUR },
    ])
    await env.clock.advance(5 * MINUTE)
    expect(await node('a').tick()).toEqual(['skipped'])
    await state.commit(SCOPE, [{ op: 'delete', kind: kinds.intent, id: first!.runId }])
    await env.clock.advance(5 * MINUTE)
    expect(await node('a').tick()).toEqual(['fired'])
    expect(skipped.map((r) => r.details)).toMatchObject([{ reason: 'overlap' }, { reason: 'overlap' }])
  })
  test('overlap_policy skip: one that a schedule rule holds is under way, too', async () => {
    await define({ overlap_policy: 'skip' })
    await env.clock.advance(5 * MINUTE)
    await node('a').tick()
    const [first] = await holds()
    await release()
    await state.commit(SCOPE, [putHold({ ...first!, kind: 'scheduled', firstDueAt: env.clock.now() + HOUR }, '1')])
    await env.clock.advance(5 * MINUTE)
    expect(await node('a').tick()).toEqual(['skipped'])
    await state.commit(SCOPE, [{ op: 'delete', kind: kinds.scheduled, id: first!.runId }])
    await env.clock.advance(5 * MINUTE)
    expect(await node('a').tick()).toEqual(['fired'])
  })
  test('overlap_policy skip: one whose execution has not ended is under way, too', async () => {
    await define({ overlap_policy: 'skip' })
    await env.clock.advance(5 * MINUTE)
    await node('a').tick()
    executions.add((await holds())[0]!.action.id)
    await release()
    await env.clock.advance(5 * MINUTE)
    expect(await node('a').tick()).toEqual(['skipped'])
    executions.clear()
    await env.clock.advance(5 * MINUTE)
    expect(await node('a').tick()).toEqual(['fired'])
  })
  test('allow_all makes it all the same', async () => {
    await define()
    await env.clock.advance(5 * MINUTE)
    await node('a').tick()
    await env.clock.advance(5 * MINUTE)
    await node('a').tick()
    expect((await holds()).length).toBe(2)
  })
  test('max_executions and end_date end it', async () => {
    await define({ max_executions: 2 })
    await defs.put(
      SCOPE,
      'other',
      { action_type: 'ping', cron_expr: '*/5 * * * *', end_date: '2026-01-05T12:12:00Z' },
      { caller: 'test' },
    )
    for (let i = 0; i < 4; i++) {
      await env.clock.advance(5 * MINUTE)
      await node('a').tick()
    }
    for (const name of ['heartbeat', 'other'])
      expect((await defs.get(SCOPE, name))?.view).toMatchObject({ status: 'completed', execution_count: 2 })
    expect((await holds()).length).toBe(4)
  })
  test('a paused one makes nothing; resumed, it goes on with the next after now', async () => {
    await define()
    await defs.pause(SCOPE, 'heartbeat', { caller: 'test' })
    await env.clock.advance(12 * MINUTE)
    expect(await node('a').tick()).toEqual([])
    const { view } = await defs.resume(SCOPE, 'heartbeat', { caller: 'test' })
    expect(view['next_execution_at']).toBe('2026-01-05T12:15:00.000Z')
  })
})
