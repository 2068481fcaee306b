import { describe, expect, it } from 'vitest'
import { actionTag } from '../../src/core/hold.ts'
import { type House, SCOPE, testHouse } from '../fakes/house.ts'
import { badRequest, held, OK, receiver, scriptedProvider, serverError, unavailable } from '../fakes/provider.ts'
import { rule, rules } from './build.ts'

const RULES = rules(
  rule('also', 1, '{ type: copy, target_provider: other }'),
  rule('once', 2, '{ type: deduplicate, ttl_seconds: 60 }'),
  rule('go', 3, '{ type: allow }'),
)

describe('graceful stop', () => {
  it('a redrive of many ends with the letter in hand, and says where to go on', async () => {
    const slow = held()
    const script = [badRequest(), badRequest(), badRequest(), OK, slow.answer, OK]
    const hook = scriptedProvider('hook', script)
    const house = await testHouse({ providers: [hook], loops: false })
    for (const id of ['one', 'two', 'three']) await house.dispatch({ action_type: 'a', provider: 'hook', id })
    const all = (after?: string) =>
      house.redrive.many(
        SCOPE,
        { limit: 10, includeTold: true, ...(after !== undefined && { after }) },
        { caller: 'me' },
      )
    const answer = all()
    await house.env.clock.advance(0)
    expect(hook.sent).toHaveLength(5)
    const stopped = house.stop()
    slow.finish(OK)
    const { redriven, next } = await answer
    await stopped
    expect(redriven).toMatchObject([
      { outcome: { action_id: 'three', outcome: 'executed' } },
      { outcome: { action_id: 'two' } },
    ])
    expect(next).toBe(redriven[1]?.id)
    expect(hook.sent).toHaveLength(5)
    await expect(all(next)).rejects.toMatchObject({ status: 503, code: 'not_ready' })
    const after = await testHouse({
      providers: [hook],
      loops: false,
      env: house.env,
      memory: await house.memory.restart(),
    })
    const rest = await after.redrive.many(SCOPE, { limit: 10, includeTold: true, after: next! }, { caller: 'me' })
    expect(rest).toMatchObject({ redriven: [{ outcome: { action_id: 'one', outcome: 'executed' } }], skipped: [] })
  })

  it('a delivery waiting in back-off becomes a hold, its caller is told accepted, and another node delivers it', async () => {
    const taken = receiver()
    const hook = scriptedProvider('hook', [unavailable(5_000), taken.accept()])
    const other = scriptedProvider('other')
    const one = await testHouse({ providers: [hook, other], rules: RULES, loops: false, route: { maxRetries: 3 } })
    const action = { action_type: 'a', provider: 'hook', id: 'one', dedup_key: 'd' }
    const answer = one.dispatch(action, { key: 'k' })
    await one.env.clock.advance(1_000)
    expect(hook.sent).toHaveLength(1)
    await one.stop()
    const told = await answer
    expect(told).toEqual({
      action_id: 'one',
      run_id: expect.any(String),
      rule: 'go',
      copies: [expect.any(String)],
      outcome: 'accepted',
      reason: 'shutting_down',
    })
    expect(await one.records()).toEqual([])

    const two = await testHouse({
      providers: [hook, other],
      rules: RULES,
      env: one.env,
      memory: await one.memory.restart(),
    })
    expect(await two.dispatch(action, { key: 'k' })).toEqual(told)
    expect(await two.dispatch({ ...action, id: 'two' })).toMatchObject({
      outcome: 'deduplicated',
      first_outcome: 'pending',
    })
    await one.env.clock.advance(10_000)
    expect(taken.effects.size).toBe(1)
    expect(new Set(hook.sent.map((s) => s.token)).size).toBe(1)
    expect((await two.records()).filter((r) => r.kind === 'dispatch' && r.action_id === 'one')).toMatchObject([
      { outcome: 'executed', run_id: told.run_id },
    ])
    // Its end settles the keys it was admitted under.
    expect(await two.dispatch(action, { key: 'k' })).toMatchObject({ outcome: 'executed', run_id: told.run_id })
    expect(await two.dispatch({ ...action, id: 'three' })).toMatchObject({
      outcome: 'deduplicated',
      first_outcome: 'executed',
    })
    expect(await two.stored('intent')).toEqual([])
  })

  it('an attempt under way is let finish, and answered as it ended', async () => {
    const slow = held()
    const hook = scriptedProvider('hook', [slow.answer])
    const house = await testHouse({ providers: [hook], loops: false })
    const answer = house.dispatch({ action_type: 'a', provider: 'hook' })
    await house.env.clock.settle()
    await house.stop()
    slow.finish(OK)
    expect(await answer).toMatchObject({ outcome: 'executed' })
  })

  it('what waits in back-off keeps its dedup key, however short its term, until it has been delivered', async () => {
    const hook = scriptedProvider('hook', [unavailable(20_000), OK])
    const options = {
      providers: [hook],
      rules: 'rules: [{ name: once, action: { type: deduplicate, ttl_seconds: 1, key: [payload.x] } }]\n',
      route: { maxRetries: 1 },
    }
    const one = await testHouse({ ...options, loops: false })
    const send = (house: House, id: string) =>
      house.dispatch({ action_type: 'a', provider: 'hook', id, payload: { x: 1 } })
    const answer = send(one, 'one')
    await one.env.clock.advance(0)
    await one.stop()
    expect(await answer).toMatchObject({ outcome: 'accepted' })
    const two = await testHouse({ ...options, env: one.env, memory: await one.memory.restart() })
    await one.env.clock.advance(10_000)
    expect(await send(two, 'two')).toMatchObject({ outcome: 'deduplicated', first_outcome: 'pending' })
    await one.env.clock.advance(20_000)
    expect(hook.sent).toHaveLength(2)
    // It is delivered, and its term is over.
    expect(await send(two, 'three')).toMatchObject({ outcome: 'executed', action_id: 'three' })
  })

  it('PITFALLS 65: what another has claimed meanwhile is not handed back over its claim', async () => {
    const hook = scriptedProvider('hook', [unavailable(20_000), OK])
    const house = await testHouse({ providers: [hook], loops: false, route: { maxRetries: 1 } })
    const answer = house.dispatch({ action_type: 'a', provider: 'hook', id: 'one' })
    const told = expect(answer).rejects.toMatchObject({ name: 'StateUnknown' })
    await house.env.clock.advance(0)
    const { state } = house.memory
    const [entry] = (await state.list('intent', SCOPE, { limit: 1 })).entries
    const { key, value } = entry!
    const claim = { owner: 'other', until: house.env.clock.now() + 30_000 }
    await state.commit(SCOPE, [{ op: 'put', kind: key.kind, id: key.id, value, version: 'other', claim }])
    await house.stop()
    await told
    expect((await state.list('intent', SCOPE, { limit: 9 })).entries).toMatchObject([
      { version: 'other', claim: { owner: 'other' } },
    ])
    expect(hook.sent).toHaveLength(1)
  })

  it('a redrive that waits in back-off is accepted, too, and goes on under its token', async () => {
    const hook = scriptedProvider('hook', [badRequest(), unavailable(5_000), OK])
    const one = await testHouse({ providers: [hook], loops: false, route: { maxRetries: 1 } })
    const failed = await one.dispatch({ action_type: 'a', provider: 'hook', id: 'one' })
    const id = 'dead_letter_id' in failed ? failed.dead_letter_id! : ''
    const again = one.redrive.one(SCOPE, id, { caller: 'me' })
    await one.env.clock.advance(0)
    await one.stop()
    const { run_id } = failed
    const where = { tag: actionTag('one'), limit: 9 }
    expect((await one.memory.state.list('intent', SCOPE, where)).entries).toMatchObject([{ key: { id: run_id } }])
    expect(await again).toEqual({ id, outcome: { action_id: 'one', run_id, outcome: 'accepted' } })
    const two = await testHouse({ providers: [hook], env: one.env, memory: await one.memory.restart() })
    await one.env.clock.advance(10_000)
    expect(hook.sent.map((s) => s.token)[2]).toBe(hook.sent[1]?.token)
    expect((await two.records()).map((r) => [r.kind, r.outcome])).toEqual([
      ['dispatch', 'failed'],
      ['redrive', 'executed'],
    ])
  })

  it('PITFALLS 32: what waits in back-off and may have been acted on stays unknown over the stop', async () => {
    const hook = scriptedProvider('hook', [serverError(), unavailable()])
    const toml = '[background]\nhold_max_attempts = 2\n'
    const one = await testHouse({ providers: [hook], loops: false, route: { maxRetries: 1 }, toml })
    const answer = one.dispatch({ action_type: 'a', provider: 'hook', id: 'one' })
    await one.env.clock.advance(0)
    await one.stop()
    expect(await answer).toMatchObject({ outcome: 'accepted' })
    const two = await testHouse({ providers: [hook], env: one.env, memory: await one.memory.restart(), toml })
    await one.env.clock.advance(60_000)
    expect(await two.stored('dead_letter')).toMatchObject([{ unknown: true, told_caller: false }])
    expect((await two.memory.state.list('intent', SCOPE, { limit: 1 })).entries).toEqual([])
  })
})
