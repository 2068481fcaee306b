import { describe, expect, it } from 'vitest'
import { deadLetterView, listDeadLetters } from '../../src/delivery/dead-letters.ts'
import { SCOPE } from '../fakes/house.ts'
import { held, OK } from '../fakes/provider.ts'
import { rule, type } from './build.ts'
import { ends, world } from './hold-world.ts'

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
    const { letters } = await listDeadLetters(house.state, SCOPE, { limit: 9 })
    expect(letters).toMatchObject([{ code: 'provider_required', origin: { kind: 'flush' } }])
    expect(deadLetterView(letters[0]!, (v) => v)).not.toHaveProperty('provider')
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
