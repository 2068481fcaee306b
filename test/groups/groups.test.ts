import { beforeEach, describe, expect, test } from 'vitest'
import type { Action, Scope } from '../../src/core/action.ts'
import { kinds } from '../../src/core/hold.ts'
import type { JsonObject } from '../../src/core/json.ts'
import { compileRedact } from '../../src/core/redact.ts'
import type { OpResult, StateStore } from '../../src/core/state.ts'
import { appendOps, flushAction, type GroupEnd } from '../../src/groups/group.ts'
import { BUFFER, type Discarded, type Groups, groups } from '../../src/groups/groups.ts'
import { type TestEnv, testEnv } from '../fakes/env.ts'
import { crashing, memoryState } from '../fakes/store.ts'

const SCOPE: Scope = ['iot', 'hq']
const END: GroupEnd = {
  kind: 'group',
  rule: 'humidity',
  priority: 10,
  before: ['earlier'],
  groupId: 'g1',
  groupKey: 'floor=3',
  labels: { 'action.payload.floor': '3' },
  waitMs: 30_000,
  intervalMs: 60_000,
  maxSize: 3,
  maxBytes: 10_000,
}

let env: TestEnv
let state: StateStore
let open: Groups
let records: Discarded[]

beforeEach(async () => {
  env = testEnv()
  state = (await memoryState(env)).state
  records = []
  open = hiding('secret')
})
const hiding = (...fields: string[]): Groups =>
  groups({
    state,
    now: env.clock.now,
    redact: compileRedact({ enabled: true, fields, placeholder: '***' }),
    record: (r) => {
      records.push(r)
      return []
    },
  })

const action = (id: string, provider: string | undefined = 'queue'): Action => ({
  id,
  namespace: SCOPE[0],
  tenant: SCOPE[1],
  ...(provider !== undefined && { provider }),
  action_type: 'reading',
  payload: { floor: '3', secret: `s-${id}` },
  metadata: { source: id },
  created_at: '2026-01-05T12:00:00.000Z',
})
async function add(id: string, end: Partial<GroupEnd> = {}, provider?: string): Promise<OpResult> {
  const event = {
    action: action(id, provider),
    runId: `run-${id}`,
    receivedAt: env.clock.now(),
    matched: ['earlier', 'humidity'],
  }
  const done = await state.commit(SCOPE, appendOps({ ...END, ...end }, event))
  if (!done.ok) throw new Error('refused')
  return done.results[0]!
}
const flushes = async () => (await state.list(kinds.flush, SCOPE, { limit: 100 })).entries
const eventsOf = (a: Action): string[] => (a.payload['events'] as JsonObject[]).map((e) => String(e['action_id']))
/** As the loop does it. */
const sealDue = async (on: StateStore = state): Promise<void> => {
  for (const b of await on.claim(BUFFER, { owner: 'w', leaseMs: 30_000, limit: 10 }))
    await on.commit(SCOPE, [
      { op: 'seal', id: b.key.id, into: { kind: kinds.flush, idPrefix: `${b.key.id}.` }, ifDue: true },
    ])
}

describe('a flush', () => {
  test('is one action: the first event’s scope and provider, all events in order, and it goes on after the group rule', async () => {
    expect(await add('a')).toMatchObject({ n: 1, dueAt: env.clock.now() + 30_000 })
    await env.clock.advance(1_000)
    expect(await add('b', {}, 'other')).toMatchObject({ n: 2 })
    await env.clock.advance(29_000)
    await sealDue()
    const [entry] = await flushes()
    const flush = flushAction(entry!.value)
    expect(flush.action).toMatchObject({
      namespace: 'iot',
      tenant: 'hq',
      provider: 'queue',
      action_type: 'group_notification',
      payload: { group_id: 'g1', group_key: 'floor=3', labels: { 'action.payload.floor': '3' }, event_count: 2 },
    })
    expect((flush.action.payload['events'] as JsonObject[])[0]).toEqual({
      action_id: 'a',
      received_at: '2026-01-05T12:00:00.000Z',
      payload: { floor: '3', secret: 's-a' },
      metadata: { source: 'a' },
    })
    expect(eventsOf(flush.action)).toEqual(['a', 'b'])
    // PITFALLS 24: the group rule and what had matched are named, so that the summary meets none of them again.
    expect(flush.resume).toEqual({
      rule: 'humidity',
      priority: 10,
      before: ['earlier'],
      matched: ['earlier', 'humidity'],
    })
  })
  test('PITFALLS 64: the same sealed entry gives the same bytes and the same ids, whoever reads it', async () => {
    for (const id of ['a', 'b', 'c']) await add(id)
    const [entry] = await flushes()
    await env.clock.advance(3_600_000)
    expect(JSON.stringify(flushAction(entry!.value))).toBe(JSON.stringify(flushAction(entry!.value)))
    expect(flushAction(entry!.value).runId).toMatch(/^[0-9a-f]{8}-[0-9a-f]{4}-5/)
  })
  test('two flushes of one group have ids of their own', async () => {
    for (const id of ['a', 'b', 'c', 'd', 'e', 'f']) await add(id)
    const ids = (await flushes()).map((e) => flushAction(e.value))
    expect(new Set(ids.map((f) => f.runId)).size).toBe(2)
    expect(new Set(ids.map((f) => f.auditId)).size).toBe(2)
    expect(ids.map((f) => f.action.payload['group_id'])).toEqual(['g1', 'g1'])
  })
  test('PITFALLS 36: so have two that a buffer was sealed to for the first time, the one long after the other', async () => {
    for (const id of ['a', 'b', 'c']) await add(id)
    const [entry] = await flushes()
    const sealed = JSON.parse(entry!.value) as JsonObject
    const later = flushAction(JSON.stringify({ ...sealed, sealed_at: Number(sealed['sealed_at']) + 86_400_000 }))
    const first = flushAction(entry!.value)
    expect([later.runId === first.runId, later.action.id === first.action.id]).toEqual([false, false])
  })
  test('PITFALLS 22: goes to the rule’s target where it names one, else to the first event’s provider, else to none', async () => {
    await add('a', { groupId: 'x', targetProvider: 'alerts', maxSize: 1 })
    await add('b', { groupId: 'y', maxSize: 1 })
    const bare: Action = { ...action('c') }
    const { provider: _, ...unnamed } = bare
    await state.commit(
      SCOPE,
      appendOps({ ...END, groupId: 'z', maxSize: 1 }, { action: unnamed, runId: 'r', receivedAt: 0, matched: [] }),
    )
    const by = Object.fromEntries((await flushes()).map((e) => [e.key.id, flushAction(e.value)]))
    expect(by['x.1']).toMatchObject({ targetProvider: 'alerts', action: { provider: 'alerts' } })
    expect(by['y.1']?.action.provider).toBe('queue')
    expect(by['z.1']?.action.provider).toBeUndefined()
  })
})

describe('no event is lost or doubled', () => {
  test('PITFALLS 23: a full group is sealed, it drops nothing', async () => {
    for (let i = 0; i < 10; i++) await add(`e${i}`)
    const sent = (await flushes()).flatMap((e) => eventsOf(flushAction(e.value).action))
    const [buffer] = await state.peek('buffer', SCOPE, ['g1'])
    expect(sent).toEqual(['e0', 'e1', 'e2', 'e3', 'e4', 'e5', 'e6', 'e7', 'e8'])
    expect(buffer?.items?.map((i) => i.itemId)).toEqual(['run-e9'])
  })
  test('one alone over max_group_bytes is sealed alone', async () => {
    await add('a', { maxBytes: 100 })
    await add('b', { maxBytes: 100 })
    expect((await flushes()).map((e) => eventsOf(flushAction(e.value).action))).toEqual([['a'], ['b']])
  })
  test('the same event twice is once', async () => {
    await add('a')
    expect(await add('a')).toMatchObject({ skipped: true, n: 1 })
  })
  test('PITFALLS 19, 63: one that arrives while the flush is on its way opens the next buffer', async () => {
    await add('a')
    await env.clock.advance(30_000)
    await sealDue()
    const claimed = await state.claim(kinds.flush, { owner: 'w', leaseMs: 30_000, limit: 10 })
    const before = claimed[0]!.value
    expect(await add('b')).toMatchObject({ n: 1, dueAt: env.clock.now() + 60_000 })
    const [after] = await flushes()
    expect(after?.value).toBe(before)
    expect(eventsOf(flushAction(before).action)).toEqual(['a'])
  })
  test('PITFALLS 20: of two nodes that seal at once one does', async () => {
    await add('a')
    await env.clock.advance(30_000)
    await Promise.all([sealDue(), sealDue(), open.flushNow(SCOPE, 'g1')])
    expect((await flushes()).length).toBe(1)
  })
})

describe.each(['before', 'after', 'reply-lost'] as const)('PITFALLS 63: a node that dies %s its', (when) => {
  test.each([1, 2, 3, 4, 5, 6])('write %i leaves every acknowledged event in one flush, once', async (n) => {
    const dying = crashing(state, n, when)
    const acknowledged: string[] = []
    for (const id of ['a', 'b', 'c', 'd', 'e']) {
      const event = { action: action(id), runId: `run-${id}`, receivedAt: env.clock.now(), matched: [] }
      await dying.commit(SCOPE, appendOps(END, event)).then(
        () => acknowledged.push(id),
        () => {},
      )
    }
    await env.clock.advance(60_000)
    await sealDue(dying).catch(() => {})
    await env.clock.advance(31_000)
    await sealDue()
    const sent = (await flushes()).flatMap((e) => eventsOf(flushAction(e.value).action))
    expect(new Set(sent).size).toBe(sent.length)
    expect(sent).toEqual(expect.arrayContaining(acknowledged))
    expect(await state.peek('buffer', SCOPE, ['g1']).then(([b]) => b?.n ?? 0)).toBe(0)
  })
})

describe('the API', () => {
  test('shows open groups, redacted', async () => {
    await add('a')
    const { groups: list } = await open.list(SCOPE, { limit: 10 })
    expect(list).toMatchObject([
      {
        group_id: 'g1',
        group_key: 'floor=3',
        rule: 'humidity',
        size: 1,
        notify_at: '2026-01-05T12:00:30.000Z',
        events: [{ action_id: 'a', payload: { floor: '3', secret: '***' } }],
      },
    ])
    expect((await open.list(['iot', 'other'], { limit: 10 })).groups).toEqual([])
  })
  test('PITFALLS 52: a hidden field is hidden in labels and key too', async () => {
    await add('a', {
      labels: { 'action.payload.secret': 's-a', 'action.payload.floor': '3' },
      groupKey: 'secret=s-a,floor=3',
    })
    const view = await open.get(SCOPE, 'g1')
    expect(JSON.stringify(view)).not.toContain('s-a')
    expect(view).toMatchObject({
      group_key: null,
      labels: { 'action.payload.secret': '***', 'action.payload.floor': '3' },
    })
  })
  test('PITFALLS 52: so is one that is named by its path, and one whose value is none is shown', async () => {
    const dotted = hiding('payload.card.number', 'metadata.secret')
    await add('a', { labels: { 'card.number': 's-a', secret: 's-b', floor: { at: 3 } }, groupKey: 'card.number=s-a' })
    await add('b', { groupId: 'g2', labels: { floor: { at: 3 } }, groupKey: 'floor={"at":3}' })
    expect(await dotted.get(SCOPE, 'g1')).toMatchObject({
      group_key: null,
      labels: { 'card.number': '***', secret: '***', floor: { at: 3 } },
    })
    expect(await dotted.get(SCOPE, 'g2')).toMatchObject({ group_key: 'floor={"at":3}', labels: { floor: { at: 3 } } })
  })
  test('PITFALLS 21: flush now seals the events, it does not throw them away', async () => {
    await add('a')
    await add('b')
    expect(await open.flushNow(SCOPE, 'g1')).toEqual({ flushIds: ['g1.1'] })
    expect(eventsOf(flushAction((await flushes())[0]!.value).action)).toEqual(['a', 'b'])
    expect(await open.flushNow(SCOPE, 'g1')).toBeUndefined()
    expect(await open.get(SCOPE, 'g1')).toMatchObject({
      size: 0,
      pending_flushes: [{ flush_id: 'g1.1', event_count: 2 }],
    })
    expect(await open.get(SCOPE, 'g2')).toBeUndefined()
    // Its flush has left: nothing of the group is there.
    await state.commit(SCOPE, [{ op: 'delete', kind: kinds.flush, id: 'g1.1' }])
    expect(await open.get(SCOPE, 'g1')).toBeUndefined()
    expect((await open.list(SCOPE, { limit: 10 })).groups).toEqual([])
  })
  test('discard drops the open events and names each of them in one record', async () => {
    await add('a')
    await add('b')
    expect(await open.discard(SCOPE, 'g1', 'alice')).toBe('discarded')
    expect(await flushes()).toEqual([])
    expect(records).toMatchObject([
      { outcome: 'discarded', caller: 'alice', rule: 'humidity', details: { group_id: 'g1', action_ids: ['a', 'b'] } },
    ])
    expect(await open.discard(SCOPE, 'g1', 'alice')).toBe('not_found')
  })
  test('a rule’s are ended, audited cancelled: open ones and sealed ones, and none that is on its way out', async () => {
    for (const id of ['a', 'b', 'c']) await add(id)
    expect(await state.claim(kinds.flush, { owner: 'a worker', leaseMs: 30_000, limit: 1 })).toHaveLength(1)
    for (const id of ['d', 'e', 'f', 'g']) await add(id)
    await add('h', { groupId: 'g2', rule: 'another' })
    expect(await open.cancelOf(SCOPE, 'humidity', 'alice')).toEqual({ cancelled: 4, beingReleased: 3, all: true })
    // The first of them is that of a commit that was refused.
    expect(records.map((r) => [r.outcome, r.caller, (r.details as JsonObject)['action_ids']]).slice(1)).toEqual([
      ['cancelled', 'alice', ['d', 'e', 'f']],
      ['cancelled', 'alice', ['g']],
    ])
    expect((await flushes()).map((f) => eventsOf(flushAction(f.value).action))).toEqual([['a', 'b', 'c']])
    expect((await open.list(SCOPE, { limit: 10 })).groups).toMatchObject([{ group_id: 'g2', size: 1 }])
  })
  test('nobody sends what is being dropped, however slow that is; what a crash leaves of it is sent', async () => {
    const sender = { owner: 'sender', leaseMs: 1000, limit: 9 }
    const claimed: string[] = []
    const watched: StateStore = {
      ...state,
      async commit(...call) {
        const done = await state.commit(...call)
        claimed.push(...(await state.claim(kinds.flush, sender)).map((c) => c.key.id))
        return done
      },
    }
    const over = (store: StateStore) => groups({ state: store, now: env.clock.now, redact: (v) => v, record: () => [] })
    await add('a')
    expect(await over(watched).discard(SCOPE, 'g1', 'alice')).toBe('discarded')
    await add('b')
    expect(await over(watched).cancelOf(SCOPE, END.rule, 'alice')).toMatchObject({ cancelled: 1, beingReleased: 0 })
    expect(claimed).toEqual([])

    await add('c')
    await expect(over(crashing(state, 1, 'after')).discard(SCOPE, 'g1', 'alice')).rejects.toThrow()
    await env.clock.advance(30_000)
    expect((await state.claim(kinds.flush, sender)).map((c) => eventsOf(flushAction(c.value).action))).toEqual([['c']])
  })
  test('what is sealed is on its way and cannot be discarded', async () => {
    for (const id of ['a', 'b', 'c']) await add(id)
    expect(await open.discard(SCOPE, 'g1', 'alice')).toBe('being_released')
    expect((await flushes()).length).toBe(1)
  })
})
