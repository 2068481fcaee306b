import { describe, expect, it } from 'vitest'
import { SCOPE, testHouse } from '../fakes/house.ts'
import { badRequest, OK, refused, type Scripted, scriptedProvider, serverError } from '../fakes/provider.ts'
import { rule, rules, type } from './build.ts'

const world = async (
  list: readonly string[],
  more: Parameters<typeof testHouse>[0] = {},
  script: readonly Scripted[] = [OK],
) => {
  const hook = scriptedProvider('hook', script)
  const other = scriptedProvider('other')
  const house = await testHouse({ providers: [hook, other], rules: rules(...list), ...more })
  await house.quotas.put(
    SCOPE,
    'q',
    { max_actions: 1000, window: 'daily', overage_behavior: 'block' },
    { caller: 'me' },
  )
  const used = async () => (await house.quotas.usage(SCOPE, 'q'))?.['used']
  const send = (more: object = {}, request = {}) =>
    house.dispatch({ action_type: 'a', provider: 'hook', ...more }, request)
  return { hook, other, house, used, send }
}
const once = rule('once', 1, '{ type: deduplicate, ttl_seconds: 60 }')
const slow = rule('slow', 2, '{ type: throttle, max_count: 1, window_seconds: 60 }')

describe('the order of a plan', () => {
  it('a repeated key is never throttled, nor counted', async () => {
    const { send, used } = await world([slow])
    const first = await send({ id: 'one' }, { key: 'k' })
    expect(await send({ id: 'one' }, { key: 'k' })).toEqual(first)
    expect(await send({ id: 'two' })).toMatchObject({ outcome: 'throttled' })
    expect(await used()).toBe(1)
  })

  it('a duplicate never counts: no throttle, no quota', async () => {
    const { send, used, house } = await world([
      once,
      rule('slow', 2, '{ type: throttle, max_count: 2, window_seconds: 60 }'),
    ])
    await send({ dedup_key: 'k' })
    for (let i = 0; i < 3; i++) expect(await send({ dedup_key: 'k' })).toMatchObject({ outcome: 'deduplicated' })
    expect(await used()).toBe(1)
    expect(await send({ dedup_key: 'l' })).toMatchObject({ outcome: 'executed' })
    expect((await house.records()).map((r) => r.outcome)).toEqual([
      'executed',
      'deduplicated',
      'deduplicated',
      'deduplicated',
      'executed',
    ])
  })

  it('PITFALLS 62: a throttled action takes no dedup key and no quota: sent again as told, it is delivered', async () => {
    const { send, used, house } = await world([once, slow])
    await send({ dedup_key: 'first' })
    expect(await send({ dedup_key: 'k' })).toMatchObject({ outcome: 'throttled', retry_after_ms: 60_000 })
    expect(await used()).toBe(1)
    await house.env.clock.advance(60_000)
    expect(await send({ dedup_key: 'k' })).toMatchObject({ outcome: 'executed' })
    expect(await used()).toBe(2)
  })

  it('a quota that refuses leaves throttle and dedup as they were', async () => {
    const { send, house, used } = await world([once, slow])
    await house.quotas.put(
      SCOPE,
      'r',
      { max_actions: 1, window: 'hourly', overage_behavior: 'block', provider: 'other' },
      { caller: 'me' },
    )
    await send({ provider: 'other', dedup_key: 'first' })
    await house.env.clock.advance(60_000)
    expect(await send({ provider: 'other', dedup_key: 'k' })).toMatchObject({
      outcome: 'quota_exceeded',
      quota: 'r',
      limit: 1,
      used: 1,
      resets_at: '2026-01-05T13:00:00.000Z',
      retry_after_ms: 3_540_000,
    })
    expect(await used()).toBe(1) // `q` stands before `r` by name, and counted nothing
    expect(await send({ dedup_key: 'k' })).toMatchObject({ outcome: 'executed' })
  })

  it.each([
    ['suppress', 'suppressed'],
    ['deny', 'denied'],
  ])('%s without side effects asks, counts and stores nothing', async (action, outcome) => {
    const { send, used, house } = await world([once, slow, rule('end', 3, `{ type: ${action} }`, type('x'))])
    for (let i = 0; i < 3; i++) expect(await send({ action_type: 'x', dedup_key: 'k' })).toMatchObject({ outcome })
    expect(await used()).toBe(0)
    expect(await house.stored('dedup')).toEqual([])
    expect(await send({ dedup_key: 'k' })).toMatchObject({ outcome: 'executed' })
  })

  it('with side effects its guards are taken as in any plan, and a refusing one takes the copy back', async () => {
    const { send, other, used, house } = await world([
      once,
      slow,
      rule('also', 3, '{ type: copy, target_provider: other }'),
      rule('end', 4, '{ type: suppress, reason: seen }'),
    ])
    expect(await send({ dedup_key: 'k' })).toMatchObject({
      outcome: 'suppressed',
      reason: 'seen',
      copies: [expect.any(String)],
    })
    expect(await send({ dedup_key: 'k' })).toMatchObject({ outcome: 'deduplicated', first_outcome: 'suppressed' })
    expect(await send({ dedup_key: 'l' })).toMatchObject({ outcome: 'throttled' })
    await house.env.clock.advance(2000)
    expect(other.sent).toHaveLength(1)
    expect(await used()).toBe(1)
  })

  it('a batch is admitted in its order, also where an item reads first, and delivered side by side', async () => {
    const { house, hook } = await world([
      rule('gone', 1, '{ type: cancel_scheduled, key: k }', type('c')),
      rule('later', 2, '{ type: schedule, delay_seconds: 60, key: k }', type('s')),
      once,
    ])
    let release = (): void => {}
    const waiting = new Promise<void>((r) => {
      release = r
    })
    hook.add(() => waiting.then(() => OK))
    const action = (action_type: string, id: string) => ({
      id,
      action_type,
      namespace: 'default',
      tenant: 'default',
      provider: 'hook',
      payload: {},
      metadata: {},
      created_at: '2026-01-05T12:00:00Z',
    })
    await house.dispatch({ action_type: 'warm', provider: 'hook' })
    const answers = house.gateway.dispatchAll(
      [action('s', '1'), action('c', '2'), action('s', '3'), action('a', '4')].map((a) => ({
        action: a,
        request: { caller: 'me' },
      })),
    )
    // 2 is delivered last, and holds up nobody.
    const told = await Promise.all(
      answers.filter((_, i) => i !== 1 && i !== 3).map((a) => a.then((x) => x.outcome.outcome)),
    )
    expect(told).toEqual(['scheduled', 'scheduled'])
    release()
    expect(await Promise.all(answers.map((a) => a.then((x) => x.outcome.outcome)))).toEqual([
      'scheduled',
      'executed',
      'scheduled',
      'executed',
    ])
    expect(await house.stored('scheduled')).toHaveLength(1)
    expect((await house.records()).map((r) => [r.action_id, r.outcome])).toContainEqual(['1', 'cancelled'])
  })
})

describe('what a quota counts', () => {
  const counts: readonly [string, string, object, number, (readonly Scripted[])?][] = [
    ['delivered', '{ type: allow }', {}, 1],
    ['scheduled and released', '{ type: schedule, delay_seconds: 5 }', {}, 1],
    ['grouped and flushed', '{ type: group, group_by: [payload.x], group_wait_seconds: 5 }', {}, 1],
    ['a chain', '{ type: chain, chain: c }', {}, 1],
    ['a chain beside what is delivered', '{ type: chain, chain: c, then: continue }', {}, 1],
    ['suppressed', '{ type: suppress }', {}, 0],
    ['denied', '{ type: deny }', {}, 0],
    ['a copy: one more', '{ type: copy, target_provider: other }', {}, 2],
    ['failed for good', '{ type: allow }', {}, 1, [badRequest()]],
    ['put back and sent again', '{ type: schedule, delay_seconds: 5 }', {}, 1, [refused(), OK]],
    ['a fallback', '{ type: allow, fallback_provider: other }', {}, 1, [refused()]],
  ]
  it.each(counts)('%s', async (_, action, more, expected, script = [OK]) => {
    const { send, used, house } = await world(
      [rule('r', 1, action)],
      {
        toml: '[circuit_breaker]\nfailure_threshold = 1\nrecovery_timeout_seconds = 1\n',
        chains:
          '[[chains.definitions]]\nname = "c"\n[[chains.definitions.steps]]\nname = "s"\nprovider = "hook"\naction_type = "x"\n[[chains.definitions.steps]]\nname = "t"\nprovider = "hook"\naction_type = "x"\n',
      },
      script,
    )
    await send(more)
    await house.env.clock.advance(40_000)
    expect(await used()).toBe(expected)
    for (const kind of ['scheduled', 'flush', 'copy', 'intent']) expect(await house.stored(kind)).toEqual([])
  })

  it('a dry run, a redrive and a repetition: 0; dry run writes and sends nothing', async () => {
    const { used, house, send, hook } = await world([once], {}, [serverError(), OK])
    const action = {
      id: 'd',
      action_type: 'a',
      namespace: 'default',
      tenant: 'default',
      provider: 'hook',
      payload: {},
      metadata: {},
      created_at: '2026-01-05T12:00:00Z',
    }
    expect(await house.gateway.dryRun(action, true)).toMatchObject({
      outcome: 'dry_run',
      verdict: 'executed',
      provider: 'hook',
      trace: [{ rule: 'once', matched: true }],
    })
    expect([await used(), hook.sent.length, await house.records(), await house.stored('dedup')]).toEqual([0, 0, [], []])
    const failed = await send()
    expect(await used()).toBe(1)
    await house.redrive.one(SCOPE, 'dead_letter_id' in failed ? failed.dead_letter_id! : '', { caller: 'me' })
    expect(await used()).toBe(1)
  })

  it('what keep answers with the hold that is there: 0', async () => {
    const { used, send, house } = await world([
      rule('later', 1, '{ type: schedule, delay_seconds: 5, key: all, on_repeat: keep }'),
    ])
    await send()
    await send()
    expect(await used()).toBe(1)
    await house.env.clock.advance(8_000)
    await send()
    expect(await used()).toBe(2)
  })

  it('PITFALLS 14: never over, however many come at once', async () => {
    const { house, send, hook } = await world([
      rule('slow', 1, '{ type: throttle, max_count: 8, window_seconds: 60 }', type('t')),
    ])
    await house.quotas.put(SCOPE, 'r', { max_actions: 5, window: 'daily', overage_behavior: 'block' }, { caller: 'me' })
    const told = await Promise.all(Array.from({ length: 20 }, () => send()))
    expect(told.filter((o) => o.outcome === 'executed')).toHaveLength(5)
    await house.quotas.delete(SCOPE, 'r', { caller: 'me' })
    const more = await Promise.all(Array.from({ length: 20 }, () => send({ action_type: 't' })))
    expect(more.filter((o) => o.outcome === 'executed')).toHaveLength(8)
    expect(hook.sent).toHaveLength(13)
  })

  it('an occurrence counts 1, as its dispatch', async () => {
    const { used, house } = await world([])
    await house.recurrings.put(
      SCOPE,
      'tick',
      { provider: 'hook', action_type: 'a', cron_expression: '* * * * *' },
      { caller: 'me' },
    )
    await house.env.clock.advance(122_000)
    expect((await house.records()).filter((r) => r.kind === 'occurrence').map((r) => r.outcome)).toEqual([
      'executed',
      'executed',
    ])
    expect(await used()).toBe(2)
  })

  it('a copy’s quota refuses the copy alone: it goes back, and its parent is untouched', async () => {
    const { house, send, other } = await world([rule('also', 1, '{ type: copy, target_provider: other }')])
    await house.quotas.put(
      SCOPE,
      'r',
      { max_actions: 1, window: 60, overage_behavior: 'block', provider: 'other' },
      { caller: 'me' },
    )
    expect(await send()).toMatchObject({ outcome: 'executed' })
    expect(await send()).toMatchObject({ outcome: 'executed' })
    await house.env.clock.advance(3000)
    expect(other.sent).toHaveLength(1)
    expect(await house.stored('copy')).toMatchObject([{ lastRefusal: 'quota_exceeded' }])
    await house.env.clock.advance(75_000)
    expect(other.sent).toHaveLength(2)
    expect(await house.stored('copy')).toEqual([])
  })

  it('PITFALLS 15: no field of an action makes it internal', async () => {
    const { send, used } = await world([])
    for (const mark of [{ counted: true }, { internal: true }, { putBack: true }, { kind: 'release' }])
      await send({ payload: mark, metadata: { internal: 'true', signalbox: 'yes' } })
    expect(await used()).toBe(4)
  })
})
