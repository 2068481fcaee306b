import { describe, expect, test } from 'vitest'
import { ProviderError } from '../../src/core/errors.ts'
import { badRequest, deaf, held, OK, refused, scriptedProvider, serverError } from '../fakes/provider.ts'
import { setUp } from './set-up.ts'

describe('breaker and fallback', () => {
  test('the guide: the second failure of this action opens it, and its fallback takes over at once', async () => {
    const s = setUp({ p: { script: [refused()], fallback: 'dlq' }, dlq: {} }, { p: 2 })
    const opens = s.start()
    await s.clock.advance(1000)
    expect(await opens).toEqual({
      kind: 'executed',
      provider: 'dlq',
      attempts: 3,
      guarantee: 'at_least_once',
      response: OK,
      fallback: true,
    })
    expect(s.p.sent).toHaveLength(2)
    expect(s.stored).toEqual([
      { provider: 'dlq', request: { to: 'dlq', action_id: 'a1', payload: { value: 1 } }, unknownElsewhere: false },
    ])
    // While it is open nothing is sent there; after 60 s one probe goes out and closes it.
    s.p.add(OK)
    const end = await s.start()
    expect(end).toMatchObject({ provider: 'dlq', attempts: 1, fallback: true })
    await s.clock.advance(60_000)
    expect(await s.start()).toMatchObject({ provider: 'p', attempts: 1, fallback: false })
    expect(s.breakers.get('p')!.state).toBe('closed')
  })
  test('two actions with one attempt each open it too', async () => {
    const s = setUp({ p: { script: [refused()], maxRetries: 0, fallback: 'dlq' }, dlq: {} }, { p: 2 })
    expect(await s.start()).toMatchObject({ kind: 'failed', provider: 'p' })
    expect(await s.start()).toMatchObject({ kind: 'executed', provider: 'dlq', attempts: 2 })
    expect(await s.start()).toMatchObject({ kind: 'executed', provider: 'dlq', attempts: 1 })
  })
  test('other failures do not fall back', async () => {
    const s = setUp({ p: { script: [badRequest()], fallback: 'dlq' }, dlq: {} }, { p: 2 })
    expect(await s.start()).toMatchObject({ kind: 'failed', provider: 'p' })
    expect(s.providers.dlq!.sent).toHaveLength(0)
  })
  test("a rule's own fallback first, then the links; circuit_open names all that were tried", async () => {
    const given = { p: { fallback: 'q' }, q: { fallback: 'r' }, r: {}, own: {} }
    const s = setUp(given, { p: 1, q: 1, r: 1, own: 1 })
    const next = async () => {
      const end = await s.start({ fallback: 'own' })
      if (end.kind === 'executed') await s.breakers.trip(end.provider, { by: 'test' })
      return end
    }
    expect(
      (await Promise.all([await next(), await next(), await next(), await next()])).map(
        (e) => e.kind === 'executed' && e.provider,
      ),
    ).toEqual(['p', 'own', 'q', 'r'])
    await s.clock.advance(10_000)
    expect(await next()).toEqual({
      kind: 'circuit_open',
      provider: 'p',
      tried: ['p', 'own', 'q', 'r'],
      retryAfterMs: 50_000,
      unknown: false,
      attempts: 0,
    })
    expect(s.breakers.get('p')!.stats.rejects).toBeGreaterThan(0)
  })
  test('no fallback: the attempts that opened it tell why; the next action is refused', async () => {
    const s = setUp({ p: { script: [serverError()] } }, { p: 2 })
    expect(await s.run()).toMatchObject({ kind: 'failed', code: 'http_500', attempts: 2, retryAfterMs: 60_000 })
    const t = setUp({ p: { script: [serverError()], fallback: 'q' }, q: {} }, { p: 1, q: 1 })
    await t.breakers.trip('q', { by: 'test' })
    expect(await t.run()).toMatchObject({ kind: 'circuit_open', tried: ['p', 'q'], attempts: 1, unknown: true })
  })
  test('a fallback that cannot take the action: failed, with the pointer in its words', async () => {
    const q = scriptedProvider('q', [OK], {
      render: () => {
        throw new ProviderError('invalid_payload', 'must be a string', { pointer: '/message' })
      },
    })
    const s = setUp({ p: { fallback: 'q' }, q: { provider: q } }, { p: 1 })
    await s.breakers.trip('p', { by: 'test' })
    expect(await s.start()).toMatchObject({ kind: 'failed', provider: 'q', code: 'invalid_payload', retryable: false })
    expect(q.sent).toHaveLength(0)
    expect(s.stored).toHaveLength(0)
  })
  test("a fallback's request is stored before its first byte; without that nothing is sent", async () => {
    for (const store of [
      async () => false,
      async () => {
        throw new Error('the store is gone')
      },
    ]) {
      const s = setUp({ p: { fallback: 'q' }, q: {} }, { p: 1 })
      await s.breakers.trip('p', { by: 'test' })
      expect(await s.start({}, store)).toEqual({ kind: 'lost' })
      expect(s.providers.q!.sent).toHaveLength(0)
    }
  })
  test('PITFALLS 29: half-open lets one delivery through, the others go to the fallback', async () => {
    const probe = held()
    const s = setUp({ p: { script: [refused(), probe.answer], maxRetries: 0, fallback: 'q' }, q: {} }, { p: 1 })
    await s.start()
    await s.clock.advance(60_000)
    const all = Array.from({ length: 5 }, () => s.start())
    await s.clock.settle()
    expect(s.p.inFlight).toBe(1)
    probe.finish(OK)
    await s.clock.settle()
    const ends = await Promise.all(all)
    expect(ends.map((e) => e.kind === 'executed' && e.provider).sort()).toEqual(['p', 'q', 'q', 'q', 'q'])
  })
  test('PITFALLS 34: probes that fail permanently, time out or lose their claim never leave it stuck', async () => {
    const s = setUp({ p: { script: [refused(), badRequest(), deaf, deaf, OK], maxRetries: 0 } }, { p: 1 })
    await s.start()
    await s.clock.advance(60_000)
    expect(await s.start()).toMatchObject({ code: 'http_400' })
    const slow = s.start()
    await s.clock.advance(1000)
    expect(await slow).toMatchObject({ code: 'timeout' })
    expect(await s.start()).toMatchObject({ kind: 'circuit_open' })
    await s.clock.advance(60_000)
    const loses = s.start()
    await s.clock.settle()
    s.lost.abort()
    expect(await loses).toEqual({ kind: 'lost' })
    expect(s.breakers.look('p').admitted).toBe(true)
  })
  test('a breaker that opens while a delivery waits for its slot refuses it then', async () => {
    const first = held()
    const s = setUp({ p: { script: [first.answer], maxConcurrent: 1, maxRetries: 0, fallback: 'q' }, q: {} }, { p: 1 })
    const one = s.start()
    await s.clock.settle()
    const two = s.start()
    await s.clock.settle()
    first.finish(refused())
    expect(await two).toMatchObject({ kind: 'executed', provider: 'q' })
    expect(await one).toMatchObject({ provider: 'q', attempts: 2 })
    expect(s.p.sent).toHaveLength(1)
  })

  test('what ended unknown at the first of three stays so over a second that refused for certain', async () => {
    for (const last of [OK, badRequest()]) {
      const third = scriptedProvider('r', [last], { dedupWindowMs: 300_000 })
      const s = setUp(
        {
          p: { script: [serverError()], fallback: 'q' },
          q: { script: [refused()], fallback: 'r' },
          r: { provider: third },
        },
        { p: 1, q: 1 },
      )
      const end = await s.run()
      if (last === OK) expect(end).toMatchObject({ kind: 'executed', provider: 'r', guarantee: 'at_least_once' })
      else expect(end).toMatchObject({ kind: 'failed', provider: 'r', code: 'http_400', unknown: true })
      expect(s.stored.map((to) => [to.provider, to.unknownElsewhere])).toEqual([
        ['q', true],
        ['r', true],
      ])
    }
  })

  test('a probe has as long as any attempt: a provider that is slow, and well again, is not kept out', async () => {
    let clock: ReturnType<typeof setUp>['clock'] | undefined
    const slow = async () => {
      await clock!.sleep(15_000)
      return OK
    }
    const s = setUp({ p: { script: [refused(), slow], timeoutMs: 20_000, maxRetries: 0 } }, { p: 1 })
    clock = s.clock
    expect(await s.run()).toMatchObject({ kind: 'failed' })
    expect(await s.run()).toMatchObject({ kind: 'executed' })
    expect(s.breakers.get('p')!.state).toBe('closed')
  })

  test('nowhere to go: worth another try when the first of them may admit again, this delivery’s own included', async () => {
    const given = { p: { script: [refused()], fallback: 'q' }, q: {} }
    const s = setUp(given, { p: 1, q: 1 })
    await s.breakers.trip('q', { by: 'test' })
    await s.clock.advance(20_000)
    expect(await s.start()).toMatchObject({
      kind: 'circuit_open',
      tried: ['p', 'q'],
      attempts: 1,
      retryAfterMs: 40_000,
    })
    const t = setUp(given, { p: 1, q: 1 })
    const settings = (recoveryMs: number) => ({ failureThreshold: 1, successThreshold: 1, recoveryMs })
    t.breakers.update(
      new Map([
        ['p', settings(60_000)],
        ['q', settings(300_000)],
      ]),
    )
    await t.breakers.trip('q', { by: 'test' })
    expect(await t.start()).toMatchObject({ kind: 'circuit_open', retryAfterMs: 60_000 })
  })
})
