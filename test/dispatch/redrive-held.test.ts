import { describe, expect, it } from 'vitest'
import type { DeadLetter } from '../../src/delivery/dead-letters.ts'
import { type House, SCOPE } from '../fakes/house.ts'
import { OK, scriptedProvider } from '../fakes/provider.ts'
import { rule } from './build.ts'
import { ends, later, world } from './hold-world.ts'

const by = { caller: 'me' }
const slow = rule('slow', 3, '{ type: throttle, max_count: 1, window_seconds: 300 }')
const toml = '[background]\nhold_max_age_seconds = 60\n'
const letters = async (house: House) => (await house.stored('dead_letter')) as unknown as DeadLetter[]

describe('the redrive of held work that a limit has met too often', () => {
  it('goes to the provider it was to go to, by which it is found', async () => {
    const { house, hook, send, pass } = await world([later, slow], [OK], { toml })
    await send('one')
    await send('two')
    await pass(80_000)
    expect(await letters(house)).toMatchObject([{ code: 'throttled', provider: 'hook', action: { id: 'two' } }])
    expect((await house.redrive.many(SCOPE, { limit: 9, provider: 'other' }, by)).redriven).toEqual([])
    expect(await house.redrive.many(SCOPE, { limit: 9, provider: 'hook' }, by)).toMatchObject({
      redriven: [{ outcome: { outcome: 'executed', provider: 'hook', action_id: 'two' } }],
      skipped: [],
    })
    expect(hook.sent.map((s) => (s.request as { action_id: string }).action_id)).toEqual(['one', 'two'])
    expect(await letters(house)).toEqual([])
  })

  it('counts against no quota a second time, wherever it goes', async () => {
    const some = '{ type: group, group_by: [payload.k], group_wait_seconds: 1 }'
    const { house, hook, send, pass } = await world([later, slow, rule('some', 4, some)], [OK], { toml })
    await house.quotas.put(SCOPE, 'q', { max_actions: 2, window: 'daily', overage_behavior: 'block' }, by)
    await send('one')
    await send('two')
    await pass(80_000)
    expect(hook.sent).toHaveLength(1)
    const [letter] = await letters(house)
    await pass(300_000)
    await house.redrive.one(SCOPE, letter!.id, by)
    await pass(10_000)
    expect(hook.sent).toHaveLength(2)
    expect(await house.quotas.usage(SCOPE, 'q')).toMatchObject({ used: 2 })
  })

  it('after a quota too, along the reroute it had come to', async () => {
    const { house, hook, other, send, pass } = await world(
      [rule('there', 3, '{ type: reroute, target_provider: other }')],
      [OK],
      { toml },
    )
    await house.quotas.put(SCOPE, 'q', { max_actions: 1, window: 'daily', overage_behavior: 'block' }, by)
    await house.recurrings.put(
      SCOPE,
      'tick',
      { provider: 'hook', action_type: 'tick', cron_expression: '* * * * *', max_executions: 1 },
      by,
    )
    await send('first')
    await pass(150_000)
    expect(await letters(house)).toMatchObject([{ code: 'quota_exceeded', provider: 'other' }])
    expect(await house.redrive.many(SCOPE, { limit: 9 }, by)).toMatchObject({
      redriven: [{ outcome: { outcome: 'rerouted', provider: 'other', original_provider: 'hook', reason: 'rule' } }],
      skipped: [],
    })
    expect([hook.sent.length, other.sent.length]).toEqual([0, 2])
  })

  it('what was to start a chain is held again, goes on where it stood, and starts it; nothing goes to its provider', async () => {
    const chain = '{ type: chain, chain: c }'
    const { house, hook, other, send, pass } = await world(
      [later, rule('change', 3, '{ type: modify, changes: { n: "{{action.id}}!" } }'), slow, rule('go', 4, chain)],
      [OK],
      {
        toml,
        chains:
          '[[chains.definitions]]\nname = "c"\n[[chains.definitions.steps]]\nname = "s"\nprovider = "other"\naction_type = "x"\npayload_template = { n = "{{origin.payload.n}}" }\n',
      },
    )
    await send('one')
    await send('two')
    await pass(80_000)
    const [letter] = await letters(house)
    expect(letter).toMatchObject({ code: 'throttled', provider: 'hook', told_caller: false })
    // While the limit lasts it is held work like any other, and a letter again in the end.
    expect(await house.redrive.one(SCOPE, letter!.id, by)).toMatchObject({
      outcome: { outcome: 'scheduled', hold_id: letter!.run_id, action_id: 'two', rule: 'slow' },
    })
    expect(await letters(house)).toEqual([])
    await expect(house.redrive.one(SCOPE, letter!.id, by)).rejects.toMatchObject({ status: 404 })
    await pass(65_000)
    const [again] = await letters(house)
    expect(again).toMatchObject({ code: 'throttled', run_id: letter!.run_id })
    await pass(200_000)
    await house.redrive.many(SCOPE, { limit: 9 }, by)
    await pass(10_000)
    expect(other.sent.map((s) => (s.request as { payload: object }).payload)).toEqual([{ n: 'one!' }, { n: 'two!' }])
    expect([hook.sent, await letters(house), await house.stored('scheduled')]).toEqual([[], [], []])
    expect(
      (await ends(house))
        .filter(([kind, id]) => id === 'two' && !String(kind).startsWith('chain'))
        .map(([kind, , end]) => `${kind} ${end}`),
    ).toEqual([
      'dispatch scheduled',
      'release failed',
      'redrive scheduled',
      'release failed',
      'redrive scheduled',
      'release chain_started',
    ])
  })

  it('of two at once one is refused', async () => {
    const { house, send, pass } = await world(
      [later, slow, rule('again', 4, '{ type: schedule, delay_seconds: 1 }')],
      [OK],
      {
        toml,
      },
    )
    await send('one')
    await send('two')
    await pass(80_000)
    const [letter] = await letters(house)
    const two = await Promise.allSettled([
      house.redrive.one(SCOPE, letter!.id, by),
      house.redrive.one(SCOPE, letter!.id, by),
    ])
    expect(two.map((r) => r.status).sort()).toEqual(['fulfilled', 'rejected'])
    expect(two.find((r) => r.status === 'rejected')).toMatchObject({ reason: { code: 'being_redriven' } })
    expect(await house.stored('scheduled')).toHaveLength(1)
  })
})

describe('the redrive of held work whose handling failed again and again', () => {
  it.each([
    ['of a hold', later, 0],
    ['of a flush', rule('gather', 2, '{ type: group, group_by: [payload.zone], group_wait_seconds: 1 }'), 0],
    ['of a copy, for which no rule is asked', rule('more', 2, '{ type: copy, target_provider: poison }'), 1],
  ])('goes on among the rules where it stood, and not past them: %s', async (_, holder, direct) => {
    let broken = true
    const poison = scriptedProvider('poison', [OK], {
      render: (action) => {
        if (broken) throw new TypeError('a fault of ours')
        return { to: action.action_type }
      },
    })
    const hook = scriptedProvider('hook')
    const { house, send, pass } = await world(
      [holder, rule('there', 3, `{ type: reroute, target_provider: ${direct === 1 ? 'hook' : 'poison'} }`)],
      [OK],
      { providers: [hook, poison], toml: '[background]\nhold_max_attempts = 2\n' },
    )
    await send('one')
    await pass(60_000)
    const [letter] = await letters(house)
    expect(letter).toMatchObject({ code: 'gateway_fault', provider: direct === 1 ? 'poison' : 'hook' })
    broken = false
    await house.redrive.one(SCOPE, letter!.id, by)
    expect((await house.records()).filter((r) => r.kind === 'redrive')).toMatchObject([
      { caller: by.caller, run_id: letter!.run_id, outcome: direct === 1 ? 'executed' : 'scheduled' },
    ])
    await pass(10_000)
    expect([poison.sent.length, hook.sent.length]).toEqual([1, direct])
    expect(await letters(house)).toEqual([])
  })
})
