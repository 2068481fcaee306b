import { readdirSync } from 'node:fs'
import { beforeEach, describe, expect, test } from 'vitest'
import type { Scope } from '../../src/core/action.ts'
import { kinds } from '../../src/core/hold.ts'
import type { Claimed } from '../../src/core/state.ts'
import { type DeadLetter, putDeadLetter } from '../../src/delivery/dead-letters.ts'
import { appendOps, flushAction } from '../../src/groups/group.ts'
import type { BackgroundConfig } from '../../src/loops/background.ts'
import { backgroundLoops, loopTable, ruleTypesWithoutLoop } from '../../src/loops/index.ts'
import { type Loops, startLoops } from '../../src/loops/loop.ts'
import type { Handlers } from '../../src/loops/parts.ts'
import { occur } from '../../src/schedules/occurrences.ts'
import { recurrings } from '../../src/schedules/recurrings.ts'
import { type TestEnv, testEnv } from '../fakes/env.ts'
import { type MemoryState, memoryState } from '../fakes/store.ts'

const SCOPE: Scope = ['iot', 'hq']
const CONFIG: BackgroundConfig = {
  enabled: true,
  enableGroupFlush: true,
  enableScheduledActions: true,
  enableTimeoutProcessing: true,
  enableRecurringActions: true,
  enableRetentionReaper: true,
  groupFlushIntervalSeconds: 10,
  scheduledCheckIntervalSeconds: 1,
  timeoutCheckIntervalSeconds: 10,
  recurringCheckIntervalSeconds: 30,
  cleanupIntervalSeconds: 60,
  retentionCheckIntervalSeconds: 60,
  holdMaxAttempts: 20,
}

let env: TestEnv
let store: MemoryState
let released: { kind: string; id: string; at: number }[]
let flushed: { id: string; events: number; at: number }[]
let calls: { [name: string]: number }

beforeEach(async () => {
  env = testEnv()
  store = await memoryState(env)
  released = []
  flushed = []
  calls = { pullChains: 0, cleanUp: 0, reap: 0 }
})

/** A node with all its loops; its handlers end what they get. */
function node(owner: string, more: Partial<Handlers> = {}, config = CONFIG): Loops {
  const { state } = store
  const end = async (entry: Claimed): Promise<boolean> =>
    (
      await state.commit(entry.key.scope, [
        { op: 'delete', kind: entry.key.kind, id: entry.key.id, ifClaim: entry.claim },
      ])
    ).ok
  const called = (name: string) => async () => {
    calls[name] = (calls[name] ?? 0) + 1
    return 0
  }
  const release = async (entry: Claimed): Promise<void> => {
    if (await end(entry)) released.push({ kind: entry.key.kind, id: entry.key.id, at: env.clock.now() })
  }
  const handlers: Handlers = {
    release,
    resumeIntent: release,
    async flush(entry) {
      if (await end(entry))
        flushed.push({ id: entry.key.id, events: flushAction(entry.value).events.length, at: env.clock.now() })
    },
    async occur(entry) {
      await occur(
        {
          state,
          now: env.clock.now,
          newId: env.newId,
          lateMs: () => 60_000,
          isUnderWay: async () => false,
          record: () => [],
        },
        entry,
      )
    },
    pullChains: called('pullChains'),
    exhausted: async () => {},
    cleanUp: called('cleanUp'),
    reap: called('reap'),
    announce: async () => void (await called('announce')()),
    carryAudit: async () => 0,
    ...more,
  }
  const loops: Loops = startLoops(
    backgroundLoops({ env, state, owner, config, handlers, nudge: (name) => loops.nudge(name) }),
    env,
  )
  return loops
}
const append = (id: string, maxSize = 100) =>
  store.state.commit(
    SCOPE,
    appendOps(
      {
        kind: 'group',
        rule: 'r',
        priority: 1,
        before: [],
        groupId: 'g',
        groupKey: 'k',
        labels: {},
        waitMs: 30_000,
        intervalMs: 30_000,
        maxSize,
        maxBytes: 100_000,
      },
      {
        action: {
          id,
          namespace: SCOPE[0],
          tenant: SCOPE[1],
          action_type: 't',
          payload: {},
          metadata: {},
          created_at: '',
        },
        runId: id,
        receivedAt: env.clock.now(),
        matched: [],
      },
    ),
  )

describe('the table', () => {
  test('is the folder: every loop has a file and a line', () => {
    const frame = ['background.ts', 'due.ts', 'index.ts', 'loop.ts', 'parts.ts', 'periodic.ts']
    const files = readdirSync(new URL('../../src/loops/', import.meta.url)).filter((f) => !frame.includes(f))
    expect(loopTable.map((row) => `${row.name}.ts`).sort()).toEqual(files.sort())
  })
  test('PITFALLS 26: all are on by default, and each row makes the loop it names', () => {
    const parts = { env, state: store.state, owner: 'a', config: CONFIG, handlers: {} as Handlers, nudge: () => {} }
    expect(backgroundLoops(parts).map((l) => l.name)).toEqual(loopTable.map((row) => row.name))
    expect(ruleTypesWithoutLoop(CONFIG)).toEqual([])
  })
  test('a rule type whose loop is off is told; deliveries under way are taken over all the same', () => {
    expect(ruleTypesWithoutLoop({ ...CONFIG, enableGroupFlush: false })).toEqual(['group'])
    expect(ruleTypesWithoutLoop({ ...CONFIG, enabled: false })).toEqual(['copy', 'group', 'schedule', 'chain'])
    const off = { ...CONFIG, enabled: false }
    const parts = { env, state: store.state, owner: 'a', config: off, handlers: {} as Handlers, nudge: () => {} }
    expect(backgroundLoops(parts).map((l) => l.name)).toEqual(['intents', 'audit-outbox', 'presence'])
  })
})

describe('what has ended', () => {
  test('is looked for in all scopes again when it is time, not because many had a little of it', async () => {
    let rounds = 0
    const loops = node('a', { cleanUp: async () => (++rounds < 5 ? 9_000 : 0) })
    await env.clock.advance(60_000)
    expect(rounds).toBe(1)
    await env.clock.advance(60_000)
    expect(rounds).toBe(2)
    await loops.stop()
  })
  test('goes at once where one scope may have more, and all dead letters that are due', async () => {
    const put = (id: number) => ({ op: 'put', kind: kinds.deadLetter, id: `${id}`, value: '', version: '1' }) as const
    const dueAt = env.clock.now()
    await store.state.commit(
      SCOPE,
      Array.from({ length: 1_200 }, (_, i) => ({ ...put(i), dueAt })),
    )
    let rounds = 0
    const loops = node('a', { cleanUp: async () => (++rounds < 5 ? 10_000 : 0) })
    await env.clock.advance(60_000)
    expect(rounds).toBe(5)
    expect((await store.state.list(kinds.deadLetter, SCOPE, { limit: 1 })).entries).toEqual([])
    await loops.stop()
  })
})

describe('nodes', () => {
  test('PITFALLS 18: what is due is released by one of two nodes, each kind by its own loop', async () => {
    const { state } = store
    const dueAt = env.clock.now() + 5_000
    for (const kind of [kinds.scheduled, kinds.copy, kinds.occurrence, kinds.intent])
      await state.commit(SCOPE, [{ op: 'put', kind, id: `${kind}-1`, value: '', version: '1', dueAt }])
    const both = [node('a'), node('b')]
    await env.clock.advance(4_000)
    expect(released).toEqual([])
    await env.clock.advance(3_000)
    expect(released.map((r) => r.id).sort()).toEqual(['copy-1', 'intent-1', 'occurrence-1', 'scheduled-1'])
    await Promise.all(both.map((n) => n.stop()))
  })
  test('PITFALLS 19: a group is sealed once it is due and its flush goes out at once, events in between in the next one', async () => {
    const both = [node('a'), node('b')]
    for (let i = 0; i < 100; i++) {
      await append(`e${i}`)
      await env.clock.advance(1_000)
    }
    await env.clock.advance(60_000)
    expect(flushed.reduce((n, f) => n + f.events, 0)).toBe(100)
    expect(flushed.length).toBeGreaterThanOrEqual(3)
    expect(new Set(flushed.map((f) => f.id)).size).toBe(flushed.length)
    for (const [i, f] of flushed.entries())
      if (i > 0) expect(f.at - flushed[i - 1]!.at).toBeGreaterThanOrEqual(30_000 - 10_000)
    await Promise.all(both.map((n) => n.stop()))
  })
  test('PITFALLS 27: two nodes with their loops make each occurrence once, a dozen of them', async () => {
    const defs = recurrings({
      state: store.state,
      now: env.clock.now,
      newId: env.newId,
      redact: (v) => v,
      maxPerScope: () => 10,
      providerError: () => undefined,
      changed: () => undefined,
    })
    await defs.put(SCOPE, 'hb', { action_type: 'ping', cron_expression: '* * * * *' }, { caller: 't' })
    const both = [node('a'), node('b')]
    await env.clock.advance(12 * 60_000 + 40_000)
    expect(released.length).toBe(12)
    expect((await defs.get(SCOPE, 'hb'))?.view).toMatchObject({ execution_count: 12, skipped_count: 0 })
    await Promise.all(both.map((n) => n.stop()))
  })
  test('dead letters past their time go, others stay', async () => {
    const letter = (id: string): DeadLetter => ({
      id,
      created_at: new Date(env.clock.now()).toISOString(),
      action: { id, namespace: 'iot', tenant: 'hq', action_type: 'x', payload: {}, metadata: {}, created_at: '' },
      provider: 'p',
      run_id: 'r',
      token: 't',
      request: {},
      code: 'c',
      message: 'm',
      unknown: false,
      attempts: 1,
      told_caller: false,
      origin: { kind: 'dispatch' },
      redrives: 0,
    })
    await store.state.commit(SCOPE, [...putDeadLetter(letter('old'), 60_000), ...putDeadLetter(letter('kept'))])
    const loops = node('a')
    await env.clock.advance(130_000)
    const left = await store.state.list(kinds.deadLetter, SCOPE, { limit: 10 })
    expect(left.entries.map((e) => e.key.id)).toEqual(['kept'])
    await loops.stop()
  })
  test('PITFALLS 25: a release that hangs holds up no other loop', async () => {
    const { state } = store
    await state.commit(SCOPE, [
      { op: 'put', kind: kinds.scheduled, id: 's', value: '', version: '1', dueAt: env.clock.now() },
    ])
    let release: () => void = () => {}
    const hang = new Promise<void>((r) => {
      release = r
    })
    const loops = node('a', { release: () => hang, reap: () => hang.then(() => 0) })
    await append('e')
    await env.clock.advance(61_000)
    expect(flushed.map((f) => f.events)).toEqual([1])
    expect(calls['pullChains']).toBeGreaterThanOrEqual(5)
    expect(calls['cleanUp']).toBeGreaterThanOrEqual(1)
    release()
    await loops.stop()
    expect(env.clock.pending).toBe(0)
  })
})
