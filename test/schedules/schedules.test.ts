import { beforeEach, describe, expect, test } from 'vitest'
import type { Scope } from '../../src/core/action.ts'
import { type Hold, kinds } from '../../src/core/hold.ts'
import { compileRedact } from '../../src/core/redact.ts'
import type { Op, StateStore } from '../../src/core/state.ts'
import { cancelOps, movedOn, readKey, type ScheduleOps, scheduleOps, unlinkOps } from '../../src/schedules/schedule.ts'
import { endedRecord, type HoldRecord, type Schedules, schedules } from '../../src/schedules/schedules.ts'
import { type TestEnv, testEnv } from '../fakes/env.ts'
import { memoryState } from '../fakes/store.ts'

const SCOPE: Scope = ['iot', 'hq']
const KEY = 'the-key'
type Repeat = 'restart' | 'keep' | 'add'

let env: TestEnv
let state: StateStore
let held: Schedules
let records: HoldRecord[]

beforeEach(async () => {
  env = testEnv()
  state = (await memoryState(env)).state
  records = []
  held = open(state)
})
const open = (on: StateStore): Schedules =>
  schedules({
    state: on,
    now: env.clock.now,
    newId: env.newId,
    redact: compileRedact({ enabled: true, fields: ['card'], placeholder: '***' }),
    record: (r) => {
      records.push(r)
      return []
    },
  })

function hold(id: string, keyed = true, inMs = 60_000): Hold {
  const now = env.clock.now()
  return {
    kind: 'scheduled',
    runId: id,
    auditId: `audit-${id}`,
    action: {
      id: `action-${id}`,
      namespace: SCOPE[0],
      tenant: SCOPE[1],
      action_type: 'report',
      payload: { card: '4711' },
      metadata: {},
      created_at: new Date(now).toISOString(),
    },
    heldAt: now,
    firstDueAt: now + inMs,
    rule: 'delay',
    counted: true,
    ...(keyed && { keyId: KEY }),
  }
}
/** As the gateway does it: read, commit, and when something moved on, again. `between` happens after the read, once. */
async function schedule(
  h: Hold,
  onRepeat: Repeat,
  between?: () => Promise<unknown>,
): Promise<ScheduleOps & { tries: number }> {
  for (let tries = 1; ; tries++) {
    const key = h.keyId === undefined ? undefined : (await held.keys(SCOPE, [h.keyId])).get(h.keyId)
    if (tries === 1) await between?.()
    const made = scheduleOps({ hold: h, onRepeat, key, version: env.newId() })
    const done = await state.commit(SCOPE, made.ops)
    if (done.ok) {
      records.push(...made.ended.map((e) => endedRecord(e, env.clock.now(), { caller: '', rule: 'delay' })))
      return { ...made, tries }
    }
    if (!movedOn(made.ops[done.at]!)) throw new Error(`refused at ${done.at}`)
  }
}
async function cancel(between?: () => Promise<unknown>) {
  for (let tries = 1; ; tries++) {
    const key = (await held.keys(SCOPE, [KEY])).get(KEY)!
    if (tries === 1) await between?.()
    const made = cancelOps(key)
    const done = await state.commit(SCOPE, made.ops)
    if (done.ok) return { ...made, tries }
    if (!movedOn(made.ops[done.at]!)) throw new Error(`refused at ${done.at}`)
  }
}
const there = async (): Promise<string[]> =>
  (await held.list(SCOPE, { limit: 100 })).scheduled.map((v) => String(v['hold_id'])).sort()
const claimAll = () => state.claim(kinds.scheduled, { owner: 'w', leaseMs: 30_000, limit: 10 })

/** What a release does with the key: one commit with the claim. */
async function end(id: string): Promise<void> {
  const [entry] = await state.get([{ kind: kinds.scheduled, scope: SCOPE, id }])
  const h = JSON.parse(entry!.value) as Hold
  const ops: Op[] = [
    { op: 'delete', kind: kinds.scheduled, id, ...(entry!.claim && { ifClaim: entry!.claim }) },
    ...unlinkOps(h, await held.keyOf(h), env.newId()),
  ]
  expect((await state.commit(SCOPE, ops)).ok).toBe(true)
}
const keyEntry = async () => (await state.get([{ kind: kinds.scheduleKey, scope: SCOPE, id: KEY }]))[0]

describe('on_repeat', () => {
  test('restart replaces the hold, and says so', async () => {
    await schedule(hold('a'), 'restart')
    const second = await schedule(hold('b'), 'restart')
    expect(second).toMatchObject({ holdId: 'b', kept: false })
    expect(await there()).toEqual(['b'])
    expect(records).toMatchObject([{ id: 'audit-a', outcome: 'replaced', runId: 'a' }])
  })
  test('keep answers with the hold there is, and adds nothing', async () => {
    await schedule(hold('a'), 'keep')
    const second = await schedule(hold('b', true, 90_000), 'keep')
    expect(second).toMatchObject({ holdId: 'a', kept: true, scheduledFor: '2026-01-05T12:01:00.000Z' })
    expect(await there()).toEqual(['a'])
  })
  test.each([
    ['cancelled', () => cancel()],
    ['ended', () => end('a')],
  ])('keep is not told of a hold that is %s between its look and its commit', async (_, between) => {
    await schedule(hold('a'), 'keep')
    const second = await schedule(hold('b'), 'keep', between)
    expect(second).toMatchObject({ holdId: 'b', kept: false, tries: 2 })
    expect(await there()).toEqual(['b'])
  })
  test('keep is not told of a hold that is gone though its key stands, and many may keep one at once', async () => {
    await schedule(hold('a'), 'keep')
    const gone = async () => state.commit(SCOPE, [{ op: 'delete', kind: kinds.scheduled, id: 'a' }])
    const many = await Promise.all(['b', 'c', 'd'].map((id) => schedule(hold(id), 'keep')))
    expect(many.map((m) => [m.kept, m.tries])).toEqual([
      [true, 1],
      [true, 1],
      [true, 1],
    ])
    expect(await schedule(hold('e'), 'keep', gone)).toMatchObject({ holdId: 'e', kept: false, tries: 2 })
  })
  test('keep of a hold that is claimed between is told of it all the same, and its claim stands', async () => {
    await schedule(hold('a'), 'keep')
    await env.clock.advance(60_000)
    const claimed: Awaited<ReturnType<typeof claimAll>>[] = []
    const second = await schedule(hold('b'), 'keep', async () => void claimed.push(await claimAll()))
    expect(second).toMatchObject({ holdId: 'a', kept: true, tries: 2 })
    const [entry] = await state.get([{ kind: kinds.scheduled, scope: SCOPE, id: 'a' }])
    expect(entry?.claim).toEqual(claimed[0]![0]!.claim)
  })
  test('add lets several stand under one key, and one cancel ends them all', async () => {
    for (const id of ['a', 'b', 'c']) await schedule(hold(id), 'add')
    expect(await there()).toEqual(['a', 'b', 'c'])
    const done = await cancel()
    expect(done.ended.map((e) => e.hold.runId)).toEqual(['a', 'b', 'c'])
    expect(await there()).toEqual([])
    expect(await keyEntry()).toBeUndefined()
  })
  test('of two at once with restart, one is left; with keep, one', async () => {
    await Promise.all(['a', 'b', 'c', 'd'].map((id) => schedule(hold(id), 'restart')))
    expect((await there()).length).toBe(1)
    await cancel()
    await Promise.all(['e', 'f', 'g'].map((id) => schedule(hold(id), 'keep')))
    expect((await there()).length).toBe(1)
  })
  test('without a key nothing is replaced', async () => {
    await schedule(hold('a', false), 'restart')
    await schedule(hold('b', false), 'restart')
    expect(await there()).toEqual(['a', 'b'])
  })
})

describe('holds that have ended or are being released', () => {
  test('an ended hold takes itself off the key: alone the key goes, among others it stays', async () => {
    await schedule(hold('a'), 'add')
    await schedule(hold('b'), 'add')
    await end('a')
    expect((await held.keys(SCOPE, [KEY])).get(KEY)?.holds.map((h) => h.key.id)).toEqual(['b'])
    expect(JSON.parse((await keyEntry())!.value)).toEqual({ holds: ['b'] })
    await end('b')
    expect(await keyEntry()).toBeUndefined()
  })
  test('a key whose holds are all gone is empty, also when nobody unlinked them', async () => {
    await schedule(hold('a'), 'keep')
    await state.commit(SCOPE, [{ op: 'delete', kind: kinds.scheduled, id: 'a' }])
    expect(await schedule(hold('b'), 'keep')).toMatchObject({ holdId: 'b', kept: false })
    expect(await there()).toEqual(['b'])
  })
  test.each(['keep', 'restart', 'add'] as const)(
    'a released hold that meets its own key again under %s is held again, in the commit that ends it',
    async (onRepeat) => {
      await schedule(hold('a', true, 1_000), 'restart')
      await env.clock.advance(1_000)
      const [claimed] = await claimAll()
      const again = hold('a')
      const key = (await held.keys(SCOPE, [KEY])).get(KEY)
      const made = scheduleOps({ hold: again, onRepeat, key, version: env.newId() })
      expect(made).toMatchObject({ kept: false, warnings: [], ended: [] })
      const done = await state.commit(SCOPE, [
        { op: 'delete', kind: kinds.scheduled, id: 'a', ifClaim: claimed!.claim },
        ...made.ops,
        ...unlinkOps(again, key?.entry, env.newId()),
      ])
      expect(done.ok).toBe(true)
      expect((await held.keys(SCOPE, [KEY])).get(KEY)?.holds.map((h) => [h.key.id, h.claim])).toEqual([
        ['a', undefined],
      ])
    },
  )
  test('a released hold that cancels its own key does not warn of itself', async () => {
    await schedule(hold('a', true, 1_000), 'add')
    await schedule(hold('b'), 'add')
    await env.clock.advance(1_000)
    await claimAll()
    const made = cancelOps((await held.keys(SCOPE, [KEY])).get(KEY)!, 'a')
    expect(made.warnings).toEqual([])
    expect(made.ended.map((e) => e.hold.runId)).toEqual(['b'])
  })
  test('an unlink that comes after the key moved on leaves it alone', async () => {
    const a = hold('a')
    await schedule(a, 'restart')
    const stale = await keyEntry()
    await schedule(hold('b'), 'restart')
    expect((await state.commit(SCOPE, unlinkOps(a, stale, env.newId()))).ok).toBe(true)
    expect((await held.keys(SCOPE, [KEY])).get(KEY)?.holds.map((h) => h.key.id)).toEqual(['b'])
  })
  test('holds that are cancelled at one moment leave no key', async () => {
    for (const id of ['a', 'b', 'c', 'd']) await schedule(hold(id), 'add')
    const told = await Promise.all(['a', 'b', 'd'].map((id) => held.cancel(SCOPE, id, 'ann')))
    expect(told).toEqual(['cancelled', 'cancelled', 'cancelled'])
    expect(readKey((await keyEntry())!)).toEqual(['c'])
    expect(await held.cancel(SCOPE, 'c', 'ann')).toBe('cancelled')
    expect(await keyEntry()).toBeUndefined()
  })
  test('a claimed hold is past cancelling: it stays, with a warning, and no record says that it ended', async () => {
    await schedule(hold('a'), 'restart')
    await env.clock.advance(60_000)
    await claimAll()
    const done = await cancel()
    expect(done).toMatchObject({ ended: [], warnings: [expect.stringContaining('too_late')] })
    expect(await there()).toEqual(['a'])
    const again = await schedule(hold('b'), 'restart')
    expect(await there()).toEqual(['a', 'b'])
    expect(again.ended).toEqual([])
  })
  test('one claimed between the read and the commit is seen on the second try', async () => {
    await schedule(hold('a'), 'restart')
    await env.clock.advance(60_000)
    const done = await cancel(claimAll)
    expect(done).toMatchObject({ tries: 2, ended: [], warnings: [expect.stringContaining('too_late')] })
    expect(await there()).toEqual(['a'])
    const restarted = await schedule(hold('b'), 'restart', () => schedule(hold('c'), 'restart'))
    expect(restarted.tries).toBe(2)
    expect(await there()).toEqual(['a', 'b'])
  })
  test('cancel and schedule of one key in one plan are one commit', async () => {
    await schedule(hold('a'), 'add')
    const cancelled = cancelOps((await held.keys(SCOPE, [KEY])).get(KEY)!)
    const made = scheduleOps({ hold: hold('b'), onRepeat: 'keep', key: cancelled.key, version: env.newId() })
    const again = scheduleOps({ hold: hold('c'), onRepeat: 'restart', key: made.key, version: env.newId() })
    expect(made.kept).toBe(false)
    const done = await state.commit(SCOPE, [...cancelled.ops, ...made.ops, ...again.ops])
    expect(done.ok).toBe(true)
    expect(await there()).toEqual(['c'])
    expect(again.ended.map((e) => e.hold.runId)).toEqual(['b'])
  })
})

describe('the API', () => {
  test('views are redacted and tell due and claimed apart', async () => {
    await schedule(hold('a'), 'restart')
    expect(await held.get(SCOPE, 'a')).toMatchObject({
      hold_id: 'a',
      action_id: 'action-a',
      scheduled_for: '2026-01-05T12:01:00.000Z',
      rule: 'delay',
      action: { payload: { card: '***' } },
    })
    await env.clock.advance(60_000)
    await claimAll()
    expect(await held.get(SCOPE, 'a')).toMatchObject({
      scheduled_for: '2026-01-05T12:01:00.000Z',
      claimed_until: '2026-01-05T12:01:30.000Z',
    })
    expect(await held.get(['iot', 'other'], 'a')).toBeUndefined()
  })
  test('PITFALLS 75: what the view hides is kept whole for delivery', async () => {
    await schedule(hold('a'), 'restart')
    const [entry] = await state.get([{ kind: kinds.scheduled, scope: SCOPE, id: 'a' }])
    expect((JSON.parse(entry!.value) as Hold).action.payload).toEqual({ card: '4711' })
    expect(entry?.tags).toEqual(['action:action-a'])
  })
  test('cancel: audited once, off its key; claimed: being released; gone: not found', async () => {
    await schedule(hold('a'), 'add')
    await schedule(hold('b', true, 1_000), 'add')
    expect(await held.cancel(SCOPE, 'a', 'alice')).toBe('cancelled')
    expect(records).toMatchObject([{ id: 'audit-a', outcome: 'cancelled', caller: 'alice', kind: 'hold' }])
    expect(JSON.parse((await keyEntry())!.value)).toEqual({ holds: ['b'] })
    await env.clock.advance(1_000)
    await claimAll()
    expect(await held.cancel(SCOPE, 'b', 'alice')).toBe('being_released')
    expect(await held.cancel(SCOPE, 'a', 'alice')).toBe('not_found')
  })
  test('cancel: one that is claimed between the look and the commit is not said to be cancelled', async () => {
    await schedule(hold('a', true, 1_000), 'restart')
    await env.clock.advance(1_000)
    let looks = 0
    const overtaken = open({
      ...state,
      async get(keys) {
        const found = await state.get(keys)
        if (keys[0]?.kind === kinds.scheduled && ++looks === 1) await claimAll()
        return found
      },
    })
    expect(await overtaken.cancel(SCOPE, 'a', 'alice')).toBe('being_released')
    expect((await state.list(kinds.scheduled, SCOPE, { limit: 9 })).entries).toHaveLength(1)
  })
  test('PITFALLS 77: a hold has a due time and no expiry', async () => {
    await schedule(hold('a'), 'restart')
    const [entry] = await state.get([{ kind: kinds.scheduled, scope: SCOPE, id: 'a' }])
    expect(entry?.dueAt).toBe(env.clock.now() + 60_000)
    expect(entry?.expiresAt).toBeUndefined()
  })
})
