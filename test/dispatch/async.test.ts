import { describe, expect, it } from 'vitest'
import { testHouse } from '../fakes/house.ts'
import { badRequest, held, OK, receiver, scriptedProvider, unavailable } from '../fakes/provider.ts'
import { rule, rules, type } from './build.ts'

describe('respond-async', () => {
  it('answers accepted before anything is sent, delivers off the path, and records the end once', async () => {
    const slow = held()
    const hook = scriptedProvider('hook', [slow.answer])
    const house = await testHouse({ providers: [hook], rules: rules(rule('go', 1, '{ type: allow }')) })
    const told = await house.dispatch({ action_type: 'a', provider: 'hook', id: 'one' }, { async: true })
    expect(told).toEqual({ action_id: 'one', run_id: expect.any(String), rule: 'go', outcome: 'accepted' })
    expect(await house.records()).toEqual([])
    slow.finish(OK)
    await house.gateway.idle()
    expect(await house.records()).toMatchObject([{ action_id: 'one', outcome: 'executed', run_id: told.run_id }])
    expect(await house.stored('intent')).toEqual([])
  })

  it('accepted also where the provider cannot fail', async () => {
    const house = await testHouse()
    expect(await house.dispatch({ action_type: 'a', provider: 'log' }, { async: true })).toMatchObject({
      outcome: 'accepted',
    })
    await house.gateway.idle()
    expect(await house.records()).toMatchObject([{ outcome: 'executed', provider: 'log' }])
  })

  it('is pending to its duplicates until it has ended, also past a short ttl, and free again after a definite failure', async () => {
    const hook = scriptedProvider('hook', [unavailable(20_000), badRequest(), OK])
    const house = await testHouse({
      providers: [hook],
      rules: rules(rule('once', 1, '{ type: deduplicate, ttl_seconds: 5 }')),
    })
    const send = (id: string) =>
      house.dispatch({ action_type: 'a', provider: 'hook', id, dedup_key: 'k' }, { async: true })
    expect(await send('one')).toMatchObject({ outcome: 'accepted' })
    await house.gateway.idle()
    await house.env.clock.advance(10_000)
    expect(await send('two')).toMatchObject({ outcome: 'deduplicated', first_outcome: 'pending' })
    await house.env.clock.advance(20_000)
    expect(await house.stored('dead_letter')).toMatchObject([{ code: 'http_400' }])
    expect(await send('three')).toMatchObject({ outcome: 'accepted' })
  })

  it('refusals and holds are answered as they are', async () => {
    const house = await testHouse({
      rules: rules(
        rule('no', 1, '{ type: deny }', type('bad')),
        rule('later', 2, '{ type: schedule, delay_seconds: 5 }', type('later')),
      ),
    })
    expect(await house.dispatch({ action_type: 'bad', provider: 'log' }, { async: true })).toMatchObject({
      outcome: 'denied',
    })
    expect(await house.dispatch({ action_type: 'later', provider: 'log' }, { async: true })).toMatchObject({
      outcome: 'scheduled',
    })
  })

  it('an outage puts it back, with a wait of at least a second, until it is delivered: one token, one body', async () => {
    const taken = receiver()
    const hook = scriptedProvider('hook', [unavailable(), unavailable(4000), taken.accept()])
    const house = await testHouse({ providers: [hook] })
    await house.dispatch({ action_type: 'a', provider: 'hook' }, { async: true })
    await house.gateway.idle()
    const waits: number[] = []
    for (let i = 0; i < 2; i++) {
      const [entry] = (await house.memory.state.list('intent', ['default', 'default'], { limit: 1 })).entries
      waits.push(entry!.dueAt! - house.env.clock.now())
      await house.env.clock.advance(waits[i]! + 1000)
    }
    expect(waits[0]).toBeGreaterThanOrEqual(1000)
    expect(waits[1]).toBeGreaterThanOrEqual(3000)
    expect(taken.effects.size).toBe(1)
    expect(new Set(hook.sent.map((s) => s.token)).size).toBe(1)
    expect((await house.records()).map((r) => r.outcome)).toEqual(['executed'])
  })

  it('PITFALLS 28: counted before it is tried, it is a dead letter after hold_max_attempts', async () => {
    const hook = scriptedProvider('hook', [unavailable()])
    const house = await testHouse({
      providers: [hook],
      toml: '[background]\nhold_max_attempts = 3\n[circuit_breaker]\nfailure_threshold = 100\n',
    })
    await house.dispatch({ action_type: 'a', provider: 'hook', id: 'one' }, { async: true })
    await house.env.clock.advance(120_000)
    expect(hook.sent).toHaveLength(3)
    expect(await house.stored('intent')).toEqual([])
    expect(await house.stored('dead_letter')).toMatchObject([
      { code: 'http_503', told_caller: false, action: { id: 'one' } },
    ])
    expect(await house.records()).toMatchObject([
      { outcome: 'failed', details: { dead_letter_id: expect.any(String) } },
    ])
  })

  it('… or when it is older than hold_max_age_seconds', async () => {
    const hook = scriptedProvider('hook', [unavailable(60_000)])
    const house = await testHouse({ providers: [hook], toml: '[background]\nhold_max_age_seconds = 100\n' })
    await house.dispatch({ action_type: 'a', provider: 'hook' }, { async: true })
    await house.env.clock.advance(240_000)
    expect(await house.stored('dead_letter')).toHaveLength(1)
    expect(hook.sent.length).toBeLessThan(5)
  })

  it('a permanent failure is a dead letter at once', async () => {
    const hook = scriptedProvider('hook', [badRequest()])
    const house = await testHouse({ providers: [hook] })
    await house.dispatch({ action_type: 'a', provider: 'hook' }, { async: true })
    await house.gateway.idle()
    expect(hook.sent).toHaveLength(1)
    expect(await house.stored('dead_letter')).toMatchObject([{ code: 'http_400', told_caller: false }])
  })
})
