import { describe, expect, it } from 'vitest'
import type { JsonObject } from '../../src/core/json.ts'
import { type House, SCOPE, testHouse } from '../fakes/house.ts'
import {
  badRequest,
  held,
  OK,
  receiver,
  refused,
  type Scripted,
  scriptedProvider,
  unavailable,
} from '../fakes/provider.ts'
import { rule, rules, type } from './build.ts'

const world = async (
  list: readonly string[],
  script: readonly Scripted[] = [OK],
  more: Parameters<typeof testHouse>[0] = {},
) => {
  const hook = scriptedProvider('hook', script)
  const other = scriptedProvider('other')
  const house = await testHouse({ providers: [hook, other], rules: rules(...list), ...more })
  const send = (id: string, more: object = {}) =>
    house.dispatch({ action_type: 'a', provider: 'hook', id, payload: { k: 1 }, ...more })
  return { hook, other, house, send, pass: (ms: number) => house.env.clock.advance(ms) }
}
const ends = async (house: House) => (await house.records()).map((r) => [r.kind, r.action_id, r.outcome])
const later = rule('later', 2, '{ type: schedule, delay_seconds: 10 }')

describe('a released hold', () => {
  it('names each matched rule once, and counts no hit of those that matched before', async () => {
    const { house, send, pass } = await world([
      rule('first', 1, '{ type: modify, changes: { seen: 1 } }'),
      later,
      rule('mark', 3, '{ type: modify, changes: { late: true } }'),
    ])
    await send('one')
    await pass(12_000)
    expect((await house.records()).map((r) => [r.kind, r.matched])).toEqual([
      ['dispatch', ['first', 'later']],
      ['release', ['first', 'later', 'mark']],
    ])
    expect(house.rules.list().map((r) => [r.name, r.hits])).toEqual([
      ['first', 1],
      ['later', 1],
      ['mark', 1],
    ])
  })

  it('PITFALLS 17: goes on behind its holder, also when that is renamed, moved or gone meanwhile', async () => {
    for (const after of [
      [rule('renamed', 2, '{ type: schedule, delay_seconds: 10 }')],
      [
        rule('mark', 3, '{ type: modify, changes: { late: true } }'),
        rule('later', 9, '{ type: schedule, delay_seconds: 10 }'),
      ],
      [],
    ]) {
      const { house, hook, send, pass } = await world([rule('first', 1, '{ type: deny }', type('never')), later])
      await send('one')
      house.writeRules(rules(...after))
      await house.rules.reload()
      // A rule of another name at the holder's own priority is asked, once.
      await pass(30_000)
      expect(hook.sent).toHaveLength(1)
      expect(await house.stored('scheduled')).toEqual([])
    }
  })

  it('PITFALLS 67: what was admitted at release is sent where it was to go, whatever newer rules say', async () => {
    const taken = receiver()
    const { house, hook, other, send, pass } = await world([later], [unavailable(), taken.accept()])
    await send('one')
    await pass(11_000)
    expect(hook.sent).toHaveLength(1)
    house.writeRules(rules(rule('away', 5, '{ type: reroute, target_provider: other }')))
    await house.rules.reload()
    await pass(20_000)
    expect([hook.sent.length, other.sent.length, taken.effects.size]).toEqual([2, 0, 1])
    expect(new Set(hook.sent.map((s) => s.token)).size).toBe(1)
  })

  it('may meet a second schedule rule, and a group rule behind that', async () => {
    const { house, hook, send, pass } = await world([
      later,
      rule('again', 3, '{ type: schedule, delay_seconds: 20 }'),
      rule('some', 4, '{ type: group, group_by: [payload.k], group_wait_seconds: 5 }'),
      rule('mark', 5, '{ type: modify, set: { action.metadata.flushed: yes it is } }'),
    ])
    await send('one')
    await pass(45_000)
    expect(await ends(house)).toEqual([
      ['dispatch', 'one', 'scheduled'],
      ['release', 'one', 'scheduled'],
      ['release', 'one', 'grouped'],
      ['flush', expect.any(String), 'executed'],
    ])
    expect((await house.records())[3]).toMatchObject({
      metadata: { flushed: 'yes it is' },
      matched: ['later', 'again', 'some', 'mark'],
    })
    expect(hook.sent).toMatchObject([{ request: { payload: { event_count: 1, events: [{ action_id: 'one' }] } } }])
  })

  it.each([
    ['suppress', 'suppressed'],
    ['deny', 'denied'],
  ])('%s ends it, audited', async (action, outcome) => {
    const { house, hook, send, pass } = await world([later, rule('end', 3, `{ type: ${action} }`)])
    await send('one')
    await pass(12_000)
    expect(hook.sent).toEqual([])
    expect(await ends(house)).toEqual([
      ['dispatch', 'one', 'scheduled'],
      ['release', 'one', outcome],
    ])
    expect(await house.stored('scheduled')).toEqual([])
    expect(house.observed.at(-1)).toMatchObject({ outcome: { outcome }, about: { kind: 'release' } })
  })

  it('a permanent failure is a dead letter of its own, which nobody was told of', async () => {
    const { house, send, pass } = await world([later], [badRequest()])
    await send('one')
    await pass(12_000)
    expect(await house.stored('dead_letter')).toMatchObject([
      { told_caller: false, origin: { kind: 'release' }, action: { id: 'one' }, code: 'http_400' },
    ])
    expect((await ends(house)).at(-1)).toEqual(['release', 'one', 'failed'])
  })
})

describe('PITFALLS 66: what was accepted is never dropped by a limit', () => {
  it('throttled at release: put back with a second or more and jitter, released when it may', async () => {
    const { house, hook, send, pass } = await world([
      later,
      rule('slow', 3, '{ type: throttle, max_count: 1, window_seconds: 30 }'),
    ])
    for (const id of ['one', 'two', 'three']) await send(id)
    await pass(11_000)
    expect(hook.sent).toHaveLength(1)
    const waiting = (await house.memory.state.list('scheduled', SCOPE, { limit: 9 })).entries
    const waits = waiting.map((e) => e.dueAt! - house.env.clock.now())
    expect(waits.every((w) => w > 20_000)).toBe(true)
    expect(new Set(waits).size).toBe(2)
    expect(waiting.map((e) => (JSON.parse(e.value) as JsonObject)['lastRefusal'])).toEqual(['throttled', 'throttled'])
    await pass(120_000)
    expect(hook.sent).toHaveLength(3)
    expect(await ends(house)).toHaveLength(6)
  })

  it('an open circuit and a retryable failure put it back', async () => {
    const { house, hook, send, pass } = await world([later], [refused(), OK])
    await send('one')
    await pass(9_000)
    await house.breakers.trip('hook', { by: 'me' })
    await pass(5_000)
    expect(await house.stored('intent')).toHaveLength(1)
    expect(await house.stored('dead_letter')).toEqual([])
    await house.breakers.reset('hook', { by: 'me' })
    await pass(150_000)
    expect(hook.sent).toHaveLength(2)
    expect((await ends(house)).at(-1)).toEqual(['release', 'one', 'executed'])
  })

  it('a quota at release of an occurrence', async () => {
    const { house, hook, pass } = await world([])
    await house.quotas.put(SCOPE, 'q', { max_actions: 1, window: 240, overage_behavior: 'block' }, { caller: 'me' })
    await house.recurrings.put(
      SCOPE,
      'tick',
      { provider: 'hook', action_type: 'a', cron_expression: '* * * * *', max_executions: 2 },
      { caller: 'me' },
    )
    await pass(122_000)
    const [first] = await house.stored('occurrence')
    expect([hook.sent.length, first]).toMatchObject([1, { lastRefusal: 'quota_exceeded' }])
    await pass(260_000)
    expect(hook.sent).toHaveLength(2)
  })

  it('… until it has been tried hold_max_attempts times, or is too old: then it is a dead letter, audited', async () => {
    for (const limit of ['hold_max_attempts = 2', 'hold_max_age_seconds = 30']) {
      const { house, hook, send, pass } = await world(
        [later, rule('slow', 3, '{ type: throttle, max_count: 1, window_seconds: 86400 }')],
        [OK],
        { toml: `[background]\n${limit}\n` },
      )
      await send('one')
      await send('two')
      await pass(45_000)
      for (let i = 0; i < 4; i++) {
        const [entry] = (await house.memory.state.list('scheduled', SCOPE, { limit: 1 })).entries
        if (entry) await house.handlers.release((await taken(house, entry.dueAt!))!, new AbortController().signal)
      }
      expect(hook.sent).toHaveLength(1)
      expect(await house.stored('scheduled')).toEqual([])
      expect(await house.stored('dead_letter')).toMatchObject([{ code: 'throttled', told_caller: false }])
      expect((await ends(house)).at(-1)).toEqual(['release', 'two', 'failed'])
    }
  })

  /** Claims the one scheduled hold at its due time, without a day of ticking loops in between. */
  async function taken(house: House, dueAt: number) {
    const { state } = house.memory
    await state.commit(SCOPE, [
      { op: 'wake', kind: 'scheduled', id: (await state.list('scheduled', SCOPE, { limit: 1 })).entries[0]!.key.id },
    ])
    expect(dueAt).toBeGreaterThan(house.env.clock.now())
    return (await state.claim('scheduled', { owner: 'me', leaseMs: 30_000, limit: 1 }))[0]
  }
})

describe('configuration that lacks what held work needs', () => {
  it('a node without the provider or chain hands it back, uncounted, and another node does it', async () => {
    const { house, send, pass } = await world(
      [later, rule('go', 3, '{ type: chain, chain: c }', type('chain'))],
      [OK],
      {
        chains:
          '[[chains.definitions]]\nname = "c"\n[[chains.definitions.steps]]\nname = "s"\nprovider = "other"\naction_type = "x"\n',
      },
    )
    await send('one')
    await send('two', { action_type: 'chain' })
    await house.stop()
    const third = scriptedProvider('third')
    const poor = await testHouse({
      providers: [third],
      env: house.env,
      memory: await house.memory.restart(),
      loops: false,
    })
    await pass(11_000)
    // Whatever the rules of this node say: its holds' own provider, or a chain that is nowhere.
    for (let i = 0; i < 3; i++) {
      for (const entry of await poor.state.claim('scheduled', { owner: poor.node, leaseMs: 30_000, limit: 5 }))
        await poor.handlers.release(entry, new AbortController().signal)
      await pass(31_000)
    }
    const waiting = (await poor.state.list('scheduled', SCOPE, { limit: 9 })).entries
    expect(waiting.map((e) => e.attempts)).toEqual([0, 0])
    expect(third.sent).toEqual([])
    const hook = scriptedProvider('hook')
    const rich = await testHouse({
      providers: [hook, scriptedProvider('other')],
      env: house.env,
      memory: await poor.memory.restart(),
    })
    await pass(40_000)
    expect(hook.sent).toHaveLength(2)
    expect(await rich.stored('scheduled')).toEqual([])
  })
})

describe('schedule keys', () => {
  const key = (onRepeat: string) => [
    rule('gone', 1, '{ type: cancel_scheduled, key: "{{payload.k}}" }', type('stop')),
    rule('later', 2, `{ type: schedule, delay_seconds: 10, key: "{{payload.k}}", on_repeat: ${onRepeat} }`, type('a')),
  ]

  it('restart: the newest alone; the one before is audited replaced', async () => {
    const { house, hook, send, pass } = await world(key('restart'))
    await send('one')
    await pass(6_000)
    await send('two')
    await pass(6_000)
    expect(hook.sent).toEqual([])
    await pass(6_000)
    expect(hook.sent).toMatchObject([{ request: { action_id: 'two' } }])
    expect(await ends(house)).toEqual([
      ['dispatch', 'one', 'scheduled'],
      ['hold', 'one', 'replaced'],
      ['dispatch', 'two', 'scheduled'],
      ['release', 'two', 'executed'],
    ])
    expect(await house.stored('schedule_key')).toEqual([])
  })

  it('keep: the oldest alone; the new one is answered with its hold, audited deduplicated', async () => {
    const { house, hook, send, pass } = await world(key('keep'))
    const first = await send('one')
    await pass(1_000)
    expect(await send('two')).toMatchObject({
      outcome: 'scheduled',
      hold_id: 'hold_id' in first ? first.hold_id : '',
      scheduled_for: '2026-01-05T12:00:10.000Z',
    })
    await pass(12_000)
    expect(hook.sent).toMatchObject([{ request: { action_id: 'one' } }])
    expect((await ends(house))[2]).toEqual(['dispatch', 'two', 'deduplicated'])
  })

  it('add: each of them; cancel_scheduled ends them all', async () => {
    const { house, hook, send, pass } = await world(key('add'))
    await send('one')
    await send('two')
    await pass(12_000)
    expect(hook.sent).toHaveLength(2)
    await send('three')
    await send('four')
    await send('end', { action_type: 'stop' })
    await pass(20_000)
    expect(hook.sent.map((s) => (s.request as JsonObject)['action_id'])).toEqual(['one', 'two', 'end'])
    expect((await ends(house)).filter(([, , o]) => o === 'cancelled')).toHaveLength(2)
  })

  it('cancel_scheduled comes too late for a hold that is being released: told, not undone', async () => {
    const { house, hook, send, pass } = await world(key('restart'), [OK], { loops: false })
    await send('one')
    await pass(11_000)
    const [entry] = await house.state.claim('scheduled', { owner: house.node, leaseMs: 30_000, limit: 1 })
    const told = await send('end', { action_type: 'stop' })
    expect(told).toMatchObject({ outcome: 'executed', warnings: [expect.stringContaining('too_late')] })
    await house.handlers.release(entry!, new AbortController().signal)
    expect(hook.sent.map((s) => (s.request as JsonObject)['action_id'])).toEqual(['end', 'one'])
    expect(await house.stored('schedule_key')).toEqual([])
  })

  it('a released hold that meets its own key again is held again, once', async () => {
    const { house, hook, send, pass } = await world([
      rule('later', 2, '{ type: schedule, delay_seconds: 10, key: "{{payload.k}}" }'),
      rule('again', 3, '{ type: schedule, delay_seconds: 10, key: "{{payload.k}}", on_repeat: keep }'),
    ])
    await send('one')
    await pass(12_000)
    expect(await house.stored('scheduled')).toHaveLength(1)
    await pass(12_000)
    expect(hook.sent).toHaveLength(1)
    expect(await house.stored('schedule_key')).toEqual([])
  })
})

describe('groups', () => {
  it('PITFALLS 24, 22: a flush goes on behind the group rule, to the first event’s provider', async () => {
    const { house, hook, other, send, pass } = await world([
      rule('some', 1, '{ type: group, group_by: [payload.k], group_wait_seconds: 5 }'),
      rule('mark', 2, '{ type: modify, changes: { marked: true } }'),
    ])
    await send('one', { provider: 'other' })
    await send('two')
    await pass(8_000)
    expect(hook.sent).toEqual([])
    expect(other.sent).toMatchObject([{ request: { payload: { event_count: 2, marked: true } } }])
    expect(await house.stored('flush')).toEqual([])
  })

  it('a flush whose events name no provider is a dead letter, not somebody’s mail', async () => {
    const { house, hook, other, pass } = await world([
      rule('some', 1, '{ type: group, group_by: [payload.k], group_wait_seconds: 5 }'),
    ])
    await house.dispatch({ action_type: 'a', id: 'one', payload: { k: 1 } })
    await pass(8_000)
    expect([hook.sent.length, other.sent.length]).toEqual([0, 0])
    expect(await house.stored('dead_letter')).toMatchObject([{ code: 'provider_required', origin: { kind: 'flush' } }])
  })

  it('a flush that is throttled comes back with the same bytes and token', async () => {
    const { house, hook, send, pass } = await world([
      rule('some', 1, '{ type: group, group_by: [payload.k], group_wait_seconds: 5 }', type('a')),
      rule('slow', 2, '{ type: throttle, max_count: 1, window_seconds: 30 }'),
    ])
    await send('zero', { action_type: 'b' })
    await send('one')
    await pass(8_000)
    expect(await house.stored('flush')).toHaveLength(1)
    await pass(60_000)
    expect(hook.sent).toHaveLength(2)
    expect((await ends(house)).filter(([k]) => k === 'flush')).toHaveLength(1)
  })

  it('PITFALLS 19: an event that comes while its group is being flushed is in the next one', async () => {
    const slow = held()
    const { hook, send, pass } = await world(
      [rule('some', 1, '{ type: group, group_by: [payload.k], group_wait_seconds: 5 }')],
      [slow.answer, OK],
    )
    await send('one')
    await pass(7_000)
    expect(hook.inFlight).toBe(1)
    await send('two')
    slow.finish(OK)
    await pass(10_000)
    const flushed = hook.sent.map((s) =>
      (s.request as { payload: { events: { action_id: string }[] } }).payload.events.map((e) => e.action_id),
    )
    expect(flushed).toEqual([['one'], ['two']])
  })
})

describe('copies and chains beside the end', () => {
  it('a copy is an action of its own: new id, its parent’s, its changes; no rule is asked for it', async () => {
    const { house, hook, other, send, pass } = await world([
      rule('also', 1, '{ type: copy, target_provider: other, changes: { note: "for {{payload.k}}" } }', type('a')),
      rule('drop', 2, '{ type: suppress }', '{ field: action.provider, eq: other }'),
      rule('end', 3, '{ type: deny, reason: no }'),
    ])
    const told = await send('one')
    expect(told).toMatchObject({ outcome: 'denied', copies: [expect.any(String)] })
    await pass(3_000)
    expect(hook.sent).toEqual([])
    expect(other.sent).toMatchObject([{ request: { payload: { k: 1, note: 'for 1' } } }])
    expect((await house.records())[1]).toMatchObject({
      kind: 'copy',
      parent_id: 'one',
      action_id: told.copies?.[0],
      outcome: 'executed',
      rule: 'also',
      provider: 'other',
    })
  })

  it('PITFALLS 79: copies of a refused plan never were', async () => {
    const { house, other, send, pass } = await world([
      rule('also', 1, '{ type: copy, target_provider: other }'),
      rule('slow', 2, '{ type: throttle, max_count: 1, window_seconds: 60 }'),
    ])
    await send('one')
    expect(await send('two')).not.toHaveProperty('copies')
    await pass(3_000)
    expect(other.sent).toHaveLength(1)
    expect(await house.stored('copy')).toEqual([])
  })

  it('chains with then: continue start beside the rest, and a later stop does not take them back', async () => {
    const { house, send, pass, other } = await world(
      [
        rule('go', 1, '{ type: chain, chain: c, then: continue }'),
        rule('go2', 2, '{ type: chain, chain: c, then: continue }'),
        rule('end', 3, '{ type: suppress }'),
      ],
      [OK],
      {
        chains:
          '[[chains.definitions]]\nname = "c"\n[[chains.definitions.steps]]\nname = "s"\nprovider = "other"\naction_type = "x"\n',
      },
    )
    const told = await send('one')
    expect(told).toMatchObject({ outcome: 'suppressed', chains: [{ chain_name: 'c' }, { chain_name: 'c' }] })
    expect(new Set(told.chains?.map((c) => c.chain_id)).size).toBe(2)
    await pass(1_000)
    expect(other.sent).toHaveLength(2)
    expect((await house.records()).filter((r) => r.kind === 'chain_step')).toHaveLength(2)
  })
})

describe('PITFALLS 28: what always throws', () => {
  it('is counted before it is tried, put back with growing waits, and in the end a dead letter; the rest go on', async () => {
    const poison = scriptedProvider('poison', [OK], {
      render: () => {
        throw new TypeError('a fault of ours')
      },
    })
    const { house, hook, send, pass } = await world([later], [OK], {
      providers: [poison, scriptedProvider('other')],
      toml: '[background]\nhold_max_attempts = 3\n',
    })
    expect(hook.sent).toEqual([])
    await send('bad', { provider: 'poison' })
    await send('good', { provider: 'other' })
    await pass(60_000)
    expect(await house.stored('scheduled')).toEqual([])
    expect(await house.stored('dead_letter')).toMatchObject([{ code: 'gateway_fault', action: { id: 'bad' } }])
    expect((await ends(house)).filter(([k]) => k === 'release')).toEqual([
      ['release', 'bad', 'failed'],
      ['release', 'good', 'executed'],
    ])
  })
})
