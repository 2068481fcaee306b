import { describe, expect, it } from 'vitest'
import type { JsonObject } from '../../src/core/json.ts'
import { MOST_UNDER_KEY } from '../../src/schedules/schedule.ts'
import { badRequest, OK, receiver, unavailable } from '../fakes/provider.ts'
import { rule, rules, type } from './build.ts'
import { ends, later, world } from './hold-world.ts'

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

  it.each([
    ['delivered', undefined],
    ['suppressed', '{ type: suppress }'],
    ['duplicates', '{ type: deduplicate, ttl_seconds: 60, key: [payload.k] }'],
  ])('add: holds that end at one moment leave nothing under their key: %s', async (_, behind) => {
    const { house, send, pass } = await world([...key('add'), ...(behind ? [rule('behind', 3, behind)] : [])])
    for (const id of ['one', 'two', 'three']) await send(id)
    await pass(60_000)
    expect((await ends(house)).filter(([kind]) => kind === 'release')).toHaveLength(3)
    expect(await house.stored('scheduled')).toEqual([])
    expect(await house.stored('schedule_key')).toEqual([])
  })

  it('one plan may cancel a key, cancel it again, and schedule under it: the old ends, the new is held', async () => {
    for (const onRepeat of ['restart', 'keep', 'add']) {
      const again = ['gone', 'gone-too'].map((name) =>
        rule(name, 1, '{ type: cancel_scheduled, key: "{{payload.k}}" }'),
      )
      const { house, send } = await world([...again, key(onRepeat)[1]!])
      await send('one')
      expect(await send('two')).toMatchObject({ outcome: 'scheduled', hold_id: expect.any(String) })
      expect(await house.stored('scheduled')).toMatchObject([{ action: { id: 'two' } }])
      expect((await ends(house))[1]).toEqual(['hold', 'one', 'cancelled'])
    }
  })

  it.each(['restart', 'keep', 'add'])('many at once under one key: each has its turn, %s', async (onRepeat) => {
    const { house, send } = await world(key(onRepeat))
    const names = Array.from({ length: 40 }, (_, i) => `a${i}`)
    const told = await Promise.all(names.map((name) => send(name)))
    expect(new Set(told.map((o) => o.outcome))).toEqual(new Set(['scheduled']))
    const held = (await house.stored('scheduled')) as { action: { id: string } }[]
    expect(held.map((h) => h.action.id)).toEqual({ restart: ['a39'], keep: ['a0'], add: names }[onRepeat])
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

  it('restart comes too late for a hold that is being released: told, and both are done', async () => {
    const { house, hook, send, pass } = await world(key('restart'), [OK], { loops: false })
    const first = await send('one')
    await pass(11_000)
    const [entry] = await house.state.claim('scheduled', { owner: house.node, leaseMs: 30_000, limit: 1 })
    expect(await send('two')).toMatchObject({
      outcome: 'scheduled',
      warnings: [`too_late: hold ${String('hold_id' in first && first.hold_id)} is already being released`],
    })
    await house.handlers.release(entry!, new AbortController().signal)
    expect(hook.sent).toMatchObject([{ request: { action_id: 'one' } }])
    // Its end has left the key to the one that stands there now.
    expect(await send('three')).toMatchObject({ outcome: 'scheduled' })
    expect(await ends(house)).toEqual([
      ['dispatch', 'one', 'scheduled'],
      ['release', 'one', 'executed'],
      ['dispatch', 'two', 'scheduled'],
      ['hold', 'two', 'replaced'],
      ['dispatch', 'three', 'scheduled'],
    ])
  })

  it('on_repeat add: so many under one key, and no more', async () => {
    const add = '{ type: schedule, delay_seconds: 10, key: k, on_repeat: add }'
    const { house, send, pass } = await world([rule('add', 2, add)], [OK])
    for (let i = 0; i < MOST_UNDER_KEY; i++) expect(await send(`a${i}`)).toMatchObject({ outcome: 'scheduled' })
    expect(await send('more')).toMatchObject({ outcome: 'failed', code: 'schedule_key_full' })
    await pass(60_000)
    expect(await send('after')).toMatchObject({ outcome: 'scheduled' })
    expect((await house.records()).filter((r) => r.outcome === 'executed')).toHaveLength(MOST_UNDER_KEY)
  })
  it('in a batch: one that is refused before it has its place under a key holds up none of those behind it', async () => {
    const { house } = await world([
      rule('once', 1, '{ type: deduplicate, ttl_seconds: 60 }'),
      rule('later', 2, '{ type: schedule, delay_seconds: 10, key: k, on_repeat: add }'),
    ])
    const item = (id: string, dedup_key: string) => ({
      action: {
        id,
        namespace: 'default',
        tenant: 'default',
        action_type: 'a',
        payload: {},
        metadata: {},
        dedup_key,
        created_at: '2026-01-05T12:00:00.000Z',
      },
      request: { caller: 'me' },
    })
    const told = house.gateway.dispatchAll([item('one', 'x'), item('two', 'x'), item('three', 'y'), item('four', 'x')])
    const all = Promise.all(told)
    await house.env.clock.advance(0)
    expect((await all).map((t) => t.outcome.outcome)).toEqual([
      'scheduled',
      'deduplicated',
      'scheduled',
      'deduplicated',
    ])
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
