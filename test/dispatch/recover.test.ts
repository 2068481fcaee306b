import { describe, expect, it } from 'vitest'
import { StateUnavailable, StateUnknown } from '../../src/core/errors.ts'
import type { StateStore } from '../../src/core/state.ts'
import { type House, type HouseOptions, testHouse } from '../fakes/house.ts'
import { badRequest, held, OK, receiver, scriptedProvider, serverError, unavailable } from '../fakes/provider.ts'
import { crashing } from '../fakes/store.ts'

/** A house whose process died after its nth write, and a second one on the same data. */
async function crashedAfter(
  n: number,
  options: HouseOptions,
  act: (one: House) => Promise<unknown>,
  next: HouseOptions = options,
) {
  const one = await testHouse({ ...options, loops: false, wrap: (s) => crashing(s, n, 'before') })
  const acted = act(one).catch((e: unknown) => e)
  await one.env.clock.advance(5_000)
  await acted
  const two = await testHouse({ ...next, env: one.env, memory: await one.memory.restart() })
  return { two, env: one.env }
}
const A = { action_type: 'a', provider: 'hook', id: 'one', payload: { x: 1 } }

describe('an intent found after a crash', () => {
  it('nobody was promised it: failed, interrupted, a dead letter that may have arrived', async () => {
    const hook = scriptedProvider('hook')
    const { two, env } = await crashedAfter(2, { providers: [hook] }, (one) => one.dispatch(A))
    await env.clock.advance(35_000)
    expect(hook.sent).toHaveLength(1)
    expect(await two.records()).toMatchObject([
      { kind: 'dispatch', outcome: 'failed', details: { code: 'interrupted', unknown: true, retryable: true } },
    ])
    expect(await two.stored('dead_letter')).toMatchObject([{ code: 'interrupted', unknown: true, told_caller: true }])
    expect(two.observed).toMatchObject([{ outcome: { code: 'interrupted' } }])
  })

  it('exactly_once inside its window: sent again, the same; outside of it: interrupted', async () => {
    for (const [dedupWindowMs, outcome] of [
      [300_000, 'executed'],
      [3_000, 'failed'],
    ] as const) {
      const taken = receiver()
      const hook = scriptedProvider('hook', [taken.accept()], { dedupWindowMs })
      const { two, env } = await crashedAfter(2, { providers: [hook] }, (one) => one.dispatch(A))
      await env.clock.advance(35_000)
      expect([taken.effects.size, taken.taken]).toEqual([1, outcome === 'executed' ? 2 : 1])
      expect(await two.records()).toMatchObject([{ outcome }])
    }
  })

  it('to a provider without effect outside: sent again, since nothing can happen twice', async () => {
    const { two, env } = await crashedAfter(2, {}, (one) => one.dispatch({ ...A, provider: 'log' }, { key: 'k' }))
    await env.clock.advance(35_000)
    expect(await two.records()).toMatchObject([{ outcome: 'executed', provider: 'log' }])
    expect(await two.stored('dead_letter')).toEqual([])
  })

  it('accepted: sent again under its token; refused for certain after that, it is still unknown', async () => {
    const taken = receiver()
    const hook = scriptedProvider('hook', [taken.accept(), unavailable()])
    const toml = '[background]\nhold_max_attempts = 2\n'
    const { two, env } = await crashedAfter(2, { providers: [hook], toml }, (one) => one.dispatch(A, { async: true }))
    await env.clock.advance(35_000)
    expect(new Set(hook.sent.map((s) => s.token)).size).toBe(1)
    expect(await two.stored('dead_letter')).toMatchObject([{ unknown: true, told_caller: false }])
  })

  it('a redrive begins anew: its node dies in its only attempt, however often it had gone back in order before', async () => {
    const taken = receiver()
    const hook = scriptedProvider('hook', [unavailable(), unavailable(), taken.accept(), unavailable()])
    const toml = '[background]\nhold_max_attempts = 2\n'
    const one = await testHouse({ providers: [hook], toml })
    await one.dispatch(A, { async: true })
    await one.env.clock.advance(35_000)
    expect(await one.stored('dead_letter')).toMatchObject([{ unknown: false }])
    await one.stop()
    const options = { providers: [hook], toml, env: one.env }
    const dies = async (house: House) => {
      const [letter] = (await house.state.list('dead_letter', ['default', 'default'], { limit: 1 })).entries
      await house.redrive.one(['default', 'default'], letter!.key.id, { caller: 'me' })
    }
    const memory = await one.memory.restart()
    const { two, env } = await crashedAfter(2, { ...options, memory }, dies, options)
    await env.clock.advance(35_000)
    expect([taken.taken, hook.sent.length]).toEqual([1, 4])
    expect(await two.stored('dead_letter')).toMatchObject([{ unknown: true, redrives: 1 }])
  })

  it('accepted, and taken over by one that waits, whose node dies too: what was promised to the first is kept', async () => {
    const taken = receiver()
    const hook = scriptedProvider('hook', [taken.accept(serverError()), taken.accept()])
    const options = {
      providers: [hook],
      rules: 'rules: [{ name: once, action: { type: deduplicate, ttl_seconds: 600, key: [payload.x] } }]\n',
      toml: '[background]\nhold_max_attempts = 1\n',
    }
    const first = await testHouse(options)
    await first.dispatch(A, { async: true })
    await first.gateway.idle()
    expect(await first.stored('dead_letter')).toMatchObject([{ unknown: true, told_caller: false }])
    await first.stop()
    const next = { ...options, env: first.env, memory: await first.memory.restart() }
    const { two, env } = await crashedAfter(3, next, (one) => one.dispatch({ ...A, id: 'two' }), {
      ...options,
      toml: '[background]\nhold_max_attempts = 9\n',
    })
    expect(hook.sent).toHaveLength(2)
    await env.clock.advance(35_000)
    expect([hook.sent.length, taken.effects.size]).toEqual([3, 1])
    expect((await two.records()).at(-1)).toMatchObject({ action_id: 'two', outcome: 'executed' })
    expect(await two.stored('dead_letter')).toEqual([])
  })

  it('at a fallback: what is stored before its first byte says where it comes from and what may have been done there', async () => {
    const slow = held()
    const hook = scriptedProvider('hook', [serverError()])
    const other = scriptedProvider('other', [slow.answer], { dedupWindowMs: 300_000 })
    const toml =
      '[circuit_breaker]\nfailure_threshold = 1\n[circuit_breaker.providers.hook]\nfallback_provider = "other"\n'
    const house = await testHouse({ providers: [hook, other], toml, loops: false })
    const told = house.dispatch(A)
    await house.env.clock.settle()
    expect(await house.stored('intent')).toMatchObject([
      { provider: 'other', fellBackFrom: 'hook', unknownElsewhere: true, request: other.sent[0]!.request },
    ])
    slow.finish(badRequest())
    expect(await told).toMatchObject({ outcome: 'failed', provider: 'other', unknown: true })
  })

  it('PITFALLS 67: a node without its provider hands it back, uncounted, for as long as it was promised', async () => {
    const hook = scriptedProvider('hook', [OK])
    const { two, env } = await crashedAfter(2, { providers: [hook] }, (one) => one.dispatch(A, { async: true }), {})
    await env.clock.advance(200_000)
    expect((await two.state.list('intent', ['default', 'default'], { limit: 1 })).entries).toMatchObject([
      { attempts: 1 },
    ])
    await two.stop()
    const three = await testHouse({ providers: [hook], env, memory: await two.memory.restart() })
    await env.clock.advance(35_000)
    expect(await three.records()).toMatchObject([{ outcome: 'executed' }])
  })

  it('… and what nobody was promised ends interrupted when it is older than a hold may be', async () => {
    const toml = '[background]\nhold_max_age_seconds = 100\n'
    const hook = scriptedProvider('hook')
    const { two, env } = await crashedAfter(2, { providers: [hook], toml }, (one) => one.dispatch(A), { toml })
    await env.clock.advance(60_000)
    expect(await two.stored('intent')).toHaveLength(1)
    await env.clock.advance(80_000)
    expect(await two.stored('intent')).toEqual([])
    expect(await two.records()).toMatchObject([{ outcome: 'failed', details: { code: 'interrupted' } }])
  })
})

describe('the store is away when a delivery has ended', () => {
  /** From the first commit that ends a delivery on, every commit is refused for so long; `lost`: that one was made, and its answer is lost. */
  const away = (forMs: number, lost = false) => {
    const seen = { tries: 0 }
    let clock: House['env']['clock'] | undefined
    let until: number | undefined
    const wrap = (base: StateStore): StateStore => ({
      ...base,
      async commit(scope, ops, opts) {
        const ends = ops.some((o) => o.op === 'delete' && o.kind === 'intent')
        if (ends) seen.tries++
        if (ends && until === undefined) {
          until = clock!.now() + forMs
          if (lost) await base.commit(scope, ops, opts)
        }
        if (until !== undefined && clock!.now() < until)
          throw lost ? new StateUnknown('no answer') : new StateUnavailable('away')
        return base.commit(scope, ops, opts)
      },
    })
    const at = (house: House) => {
      clock = house.env.clock
    }
    return { seen, wrap, at }
  }

  it.each([
    ['it does not answer', false],
    ['it has stored the end, and its answer is lost', true],
  ])('for a moment: the end is stored when it is back, and nothing is sent again: %s', async (_, lost) => {
    const hook = scriptedProvider('hook')
    const store = away(150, lost)
    const house = await testHouse({ providers: [hook], wrap: store.wrap })
    store.at(house)
    const told = house.dispatch(A, { key: 'k' })
    await house.env.clock.advance(5_000)
    expect(await told).toMatchObject({ outcome: 'executed' })
    expect(store.seen.tries).toBeGreaterThan(1)
    await house.env.clock.advance(120_000)
    expect(hook.sent).toHaveLength(1)
    expect(await house.records()).toMatchObject([{ outcome: 'executed' }])
    expect([await house.stored('intent'), await house.stored('dead_letter')]).toEqual([[], []])
    expect(await house.dispatch(A, { key: 'k' })).toEqual(await told)
  })

  it('and another has claimed it meanwhile: nobody says that its end is stored', async () => {
    const hook = scriptedProvider('hook')
    let closings = 0
    const wrap = (base: StateStore): StateStore => ({
      ...base,
      async commit(scope, ops, opts) {
        const ends = ops.some((o) => o.op === 'delete' && o.kind === 'intent')
        if (!ends || ++closings > 1) return base.commit(scope, ops, opts)
        const [entry] = (await base.list('intent', scope, { limit: 1 })).entries
        const { key, value } = entry!
        const claim = { owner: 'other', until: Number.MAX_SAFE_INTEGER }
        await base.commit(scope, [{ op: 'put', kind: key.kind, id: key.id, value, version: 'other', claim }])
        throw new StateUnknown('no answer')
      },
    })
    const house = await testHouse({ providers: [hook], loops: false, wrap })
    const told = expect(house.dispatch(A)).rejects.toBeInstanceOf(StateUnknown)
    await house.env.clock.advance(5_000)
    await told
    expect(closings).toBeGreaterThan(1)
    expect([await house.records(), (await house.stored('intent')).length]).toEqual([[], 1])
  })

  it('for longer: the caller is told that it may be done, and it is never sent a second time', async () => {
    const hook = scriptedProvider('hook')
    const store = away(20_000)
    const house = await testHouse({ providers: [hook], wrap: store.wrap })
    store.at(house)
    const told = house.dispatch(A).catch((e: unknown) => e)
    await house.env.clock.advance(5_000)
    expect(await told).toBeInstanceOf(StateUnknown)
    await house.env.clock.advance(120_000)
    expect(hook.sent).toHaveLength(1)
    expect(await house.stored('dead_letter')).toMatchObject([{ code: 'interrupted', unknown: true }])
    expect(await house.records()).toMatchObject([{ outcome: 'failed', details: { code: 'interrupted' } }])
  })
})
