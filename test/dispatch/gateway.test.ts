import { describe, expect, it } from 'vitest'
import { testHouse } from '../fakes/house.ts'
import { OK, scriptedProvider, serverError, unavailable } from '../fakes/provider.ts'

const rule = (name: string, priority: number, action: string, condition = ''): string =>
  `  - name: ${name}\n    priority: ${priority}\n${condition === '' ? '' : `    condition: ${condition}\n`}    action: ${action}\n`
const rules = (...list: string[]): string => `rules:\n${list.join('')}`

describe('dispatch', () => {
  it('delivers to the action’s provider when no rule stops it, and records it', async () => {
    const hook = scriptedProvider('hook')
    const house = await testHouse({ providers: [hook] })
    const outcome = await house.dispatch({ action_type: 'a', provider: 'hook', id: 'one', payload: { x: 1 } })
    expect(outcome).toMatchObject({
      outcome: 'executed',
      action_id: 'one',
      provider: 'hook',
      attempts: 1,
      guarantee: 'at_least_once',
    })
    expect(hook.sent).toHaveLength(1)
    expect(await house.records()).toMatchObject([
      { kind: 'dispatch', action_id: 'one', outcome: 'executed', provider: 'hook', payload: { x: 1 } },
    ])
    expect(await house.stored('intent')).toEqual([])
  })

  it('a provider without effect outside takes one commit and no intent', async () => {
    const house = await testHouse()
    expect(await house.dispatch({ action_type: 'a', provider: 'log' })).toMatchObject({
      outcome: 'executed',
      provider: 'log',
      response: OK,
    })
    expect(await house.records()).toHaveLength(1)
  })

  it('answers suppressed and denied with the rule and its reason', async () => {
    const house = await testHouse({
      rules: rules(
        rule('drop', 1, '{ type: suppress, reason: noise }', '{ field: action.action_type, eq: noise }'),
        rule('no', 2, '{ type: deny, reason: never }', '{ field: action.action_type, eq: bad }'),
      ),
    })
    expect(await house.dispatch({ action_type: 'noise', provider: 'log' })).toMatchObject({
      outcome: 'suppressed',
      rule: 'drop',
      reason: 'noise',
    })
    expect(await house.dispatch({ action_type: 'bad', provider: 'log' })).toMatchObject({
      outcome: 'denied',
      rule: 'no',
      reason: 'never',
    })
  })

  it('dedup: the second within the ttl is answered with the first, and a definite failure frees the key', async () => {
    const hook = scriptedProvider('hook', [unavailable(), OK])
    const house = await testHouse({
      providers: [hook],
      rules: rules(rule('once', 1, '{ type: deduplicate, ttl_seconds: 60 }')),
    })
    const send = (id: string) => house.dispatch({ action_type: 'a', provider: 'hook', id, dedup_key: 'k' })
    expect(await send('one')).toMatchObject({ outcome: 'failed', retryable: true })
    expect(await send('two')).toMatchObject({ outcome: 'executed', action_id: 'two' })
    expect(await send('three')).toMatchObject({
      outcome: 'deduplicated',
      first_action_id: 'two',
      first_outcome: 'executed',
      dedup_key: 'k',
    })
    await house.env.clock.advance(60_000)
    expect(await send('four')).toMatchObject({ outcome: 'executed' })
  })

  it('dedup: after an unknown end the next action sends the first one’s bytes and token, and closes its dead letter', async () => {
    const hook = scriptedProvider('hook', [serverError(), OK])
    const house = await testHouse({
      providers: [hook],
      rules: rules(rule('once', 1, '{ type: deduplicate, ttl_seconds: 60 }')),
    })
    const send = (id: string, x: number) =>
      house.dispatch({ action_type: 'a', provider: 'hook', id, dedup_key: 'k', payload: { x } })
    expect(await send('one', 1)).toMatchObject({ outcome: 'failed', unknown: true })
    expect(await house.stored('dead_letter')).toHaveLength(1)
    expect(await send('two', 2)).toMatchObject({ outcome: 'executed', action_id: 'two', first_action_id: 'one' })
    expect(hook.sent[1]?.request).toEqual(hook.sent[0]?.request)
    expect(hook.sent[1]?.token).toBe(hook.sent[0]?.token)
    expect(await house.stored('dead_letter')).toEqual([])
    expect(await send('three', 3)).toMatchObject({ outcome: 'deduplicated', first_action_id: 'one' })
  })

  it('throttle: refuses with a true retry time, and what is refused does not count', async () => {
    const house = await testHouse({
      rules: rules(rule('slow', 1, '{ type: throttle, max_count: 2, window_seconds: 10 }')),
    })
    const send = () => house.dispatch({ action_type: 'a', provider: 'log' })
    await send()
    await house.env.clock.advance(4000)
    await send()
    for (let i = 0; i < 5; i++)
      expect(await send()).toMatchObject({ outcome: 'throttled', retry_after_ms: 6000, limit: 2, window_seconds: 10 })
    await house.env.clock.advance(6000)
    expect(await send()).toMatchObject({ outcome: 'executed' })
  })

  it('schedule: held, released after the rule that held it, delivered once', async () => {
    const hook = scriptedProvider('hook')
    const house = await testHouse({
      providers: [hook],
      rules: rules(
        rule('later', 1, '{ type: schedule, delay_seconds: 60 }'),
        rule('mark', 2, '{ type: modify, changes: { late: true } }'),
      ),
    })
    expect(await house.dispatch({ action_type: 'a', provider: 'hook', id: 'one' })).toMatchObject({
      outcome: 'scheduled',
      rule: 'later',
    })
    expect(hook.sent).toHaveLength(0)
    await house.env.clock.advance(62_000)
    expect(hook.sent).toMatchObject([{ request: { action_id: 'one', payload: { late: true } } }])
    expect((await house.records()).map((r) => [r.kind, r.outcome])).toEqual([
      ['dispatch', 'scheduled'],
      ['release', 'executed'],
    ])
    expect(await house.stored('scheduled')).toEqual([])
  })

  it('group: flushed as one action with every event', async () => {
    const hook = scriptedProvider('hook')
    const house = await testHouse({
      providers: [hook],
      rules: rules(rule('batch', 1, '{ type: group, group_by: [payload.floor], group_wait_seconds: 30 }')),
    })
    for (const n of [1, 2, 3])
      expect(await house.dispatch({ action_type: 'a', provider: 'hook', payload: { floor: 1, n } })).toMatchObject({
        outcome: 'grouped',
        group_size: n,
      })
    await house.env.clock.advance(35_000)
    expect(hook.sent).toHaveLength(1)
    expect(hook.sent[0]?.request).toMatchObject({
      payload: { event_count: 3, events: [{ payload: { n: 1 } }, { payload: { n: 2 } }, { payload: { n: 3 } }] },
    })
  })

  it('copy: an action of its own beside what becomes of the first', async () => {
    const hook = scriptedProvider('hook')
    const other = scriptedProvider('other')
    const house = await testHouse({
      providers: [hook, other],
      rules: rules(rule('also', 1, '{ type: copy, target_provider: other }')),
    })
    const outcome = await house.dispatch({ action_type: 'a', provider: 'hook', id: 'one' })
    expect(outcome).toMatchObject({ outcome: 'executed', copies: [expect.any(String)] })
    await house.env.clock.advance(2000)
    expect(other.sent).toHaveLength(1)
    expect((await house.records()).map((r) => [r.kind, r.outcome, r.parent_id])).toEqual([
      ['dispatch', 'executed', undefined],
      ['copy', 'executed', 'one'],
    ])
  })

  it('Idempotency-Key: the answer is replayed; another body is refused; a refusal that says come back frees the key', async () => {
    const hook = scriptedProvider('hook')
    const house = await testHouse({
      providers: [hook],
      rules: rules(
        rule('slow', 1, '{ type: throttle, max_count: 1, window_seconds: 10 }', '{ field: action.action_type, eq: t }'),
      ),
    })
    const a = { action_type: 'a', provider: 'hook', id: 'one' }
    const first = await house.dispatch(a, { key: 'k' })
    expect(await house.dispatch(a, { key: 'k' })).toEqual(first)
    expect(hook.sent).toHaveLength(1)
    await expect(house.dispatch({ ...a, id: 'two' }, { key: 'k' })).rejects.toMatchObject({
      status: 422,
      code: 'idempotency_mismatch',
    })
    const t = { action_type: 't', provider: 'hook' }
    await house.dispatch(t)
    expect(await house.dispatch(t, { key: 't' })).toMatchObject({ outcome: 'throttled' })
    await house.env.clock.advance(10_000)
    expect(await house.dispatch(t, { key: 't' })).toMatchObject({ outcome: 'executed' })
  })
})
