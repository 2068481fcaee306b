import { describe, expect, it } from 'vitest'
import { replayAction } from '../../src/dispatch/replay.ts'
import { whereIs } from '../../src/dispatch/where.ts'
import { type House, SCOPE, testHouse } from '../fakes/house.ts'
import { badRequest, held, OK, scriptedProvider, unavailable } from '../fakes/provider.ts'
import { rule, rules, type } from './build.ts'

const RULES = rules(
  rule('also', 1, '{ type: copy, target_provider: other }', type('copied')),
  rule('later', 2, '{ type: schedule, delay_seconds: 60 }', type('later')),
  rule('some', 2, '{ type: group, group_by: [payload.k], group_wait_seconds: 5 }', type('grouped')),
  rule('go', 2, '{ type: chain, chain: c }', type('chain')),
)
const CHAINS =
  '[[chains.definitions]]\nname = "c"\n[[chains.definitions.steps]]\nname = "s"\nprovider = "other"\naction_type = "x"\n'
const where = (house: House, id: string, scope = SCOPE) =>
  whereIs({ state: house.state, audit: house.audit, chains: house.chains, redact: house.redact }, scope, id)
const replay = (house: House, id: string, scope = SCOPE) =>
  replayAction({ audit: house.audit, policy: house.auditPolicy, env: house.env }, scope, id)

describe('where an action is', () => {
  it('every place: on its way, held, in its group, in its chain, a dead letter, ended', async () => {
    const slow = held()
    const waiting = held()
    const hook = scriptedProvider('hook', [slow.answer, badRequest(), OK, waiting.answer])
    const step = held()
    const other = scriptedProvider('other', [OK, step.answer])
    const house = await testHouse({ providers: [hook, other], rules: RULES, chains: CHAINS })
    const send = (id: string, action_type: string) =>
      house.dispatch({ id, action_type, provider: 'hook', payload: { k: 1 } })

    const under = send('delivering', 'a')
    await house.env.clock.settle()
    expect(await where(house, 'delivering')).toMatchObject({
      status: 'delivering',
      places: [{ place: 'delivery', provider: 'hook', attempts: 1, claimed_until: '2026-01-05T12:00:30.000Z' }],
      records: [],
    })
    slow.finish(OK)
    await under
    expect(await where(house, 'delivering')).toMatchObject({
      status: 'ended',
      places: [],
      records: [{ outcome: 'executed' }],
    })

    await send('failed', 'a')
    expect(await where(house, 'failed')).toMatchObject({
      status: 'dead_letter',
      places: [{ place: 'dead_letter', code: 'http_400' }],
    })

    await send('later', 'later')
    expect(await where(house, 'later')).toMatchObject({
      status: 'held',
      places: [{ place: 'scheduled', due_at: '2026-01-05T12:01:00.000Z', rule: 'later', attempts: 0 }],
    })

    const { copies } = await send('copied', 'copied')
    await house.env.clock.advance(2_000)
    expect(await where(house, copies![0]!)).toMatchObject({
      status: 'ended',
      records: [{ kind: 'copy', parent_id: 'copied' }],
    })

    await send('grouped', 'grouped')
    expect(await where(house, 'grouped')).toMatchObject({
      status: 'held',
      places: [{ place: 'group', group_id: expect.any(String), due_at: '2026-01-05T12:00:07.000Z' }],
    })

    await send('chain', 'chain')
    await house.env.clock.settle()
    expect(await where(house, 'chain')).toMatchObject({
      status: 'in_chain',
      places: [{ place: 'chain', chain_name: 'c' }],
    })
    step.finish(OK)
    await house.env.clock.settle()
    expect(await where(house, 'chain')).toMatchObject({
      status: 'ended',
      places: [{ place: 'chain', status: 'completed' }],
    })
    await house.env.clock.advance(6_000)
    expect(hook.inFlight).toBe(1) // the flush
    waiting.finish(OK)
    await house.env.clock.settle()
    expect(await where(house, 'grouped')).toMatchObject({ status: 'ended' })
  })

  it('a copy and an event of a sealed group that nobody has taken up are held', async () => {
    const hook = scriptedProvider('hook', [OK])
    const other = scriptedProvider('other')
    const two = await testHouse({ providers: [hook, other], rules: RULES, chains: CHAINS, loops: false })
    const { copies } = await two.dispatch({ id: 'c', action_type: 'copied', provider: 'hook' })
    expect(await where(two, copies![0]!)).toMatchObject({ status: 'held', places: [{ place: 'copy', rule: 'also' }] })
    const told = await two.dispatch({ id: 'g', action_type: 'grouped', provider: 'hook', payload: { k: 1 } })
    await two.groups.flushNow(SCOPE, 'group_id' in told ? told.group_id : '')
    expect(await where(two, 'g')).toMatchObject({
      status: 'held',
      places: [{ place: 'group', flush_id: expect.any(String) }],
    })
  })

  it('an event is in the execution that the notification of its group has started', async () => {
    const step = held()
    const other = scriptedProvider('other', [step.answer])
    const tell = rule('tell', 3, '{ type: chain, chain: c }', type('group_notification'))
    const house = await testHouse({ providers: [scriptedProvider('hook'), other], rules: RULES + tell, chains: CHAINS })
    for (const [id, k] of [
      ['one', 1],
      ['two', 2],
    ] as const)
      await house.dispatch({ id, action_type: 'grouped', provider: 'hook', payload: { k } })
    await house.env.clock.advance(6_000)
    const { status, places } = await where(house, 'one')
    expect([status, places]).toMatchObject(['in_chain', [{ place: 'chain', status: 'running', chain_name: 'c' }]])
    expect((await where(house, 'two')).places[0]?.['chain_id']).not.toBe(places[0]?.['chain_id'])
    step.finish(OK)
    await house.env.clock.settle()
    expect(await where(house, 'one')).toMatchObject({
      status: 'ended',
      places: [{ place: 'chain', status: 'completed' }],
    })
  })

  it('an event is where the notification of its group is: on its way, put back, a dead letter; also where the audit has forgotten it', async () => {
    const slow = held()
    const hook = scriptedProvider('hook', [slow.answer, badRequest()])
    const house = await testHouse({ providers: [hook, scriptedProvider('other')], rules: RULES, chains: CHAINS })
    const send = (id: string) => house.dispatch({ id, action_type: 'grouped', provider: 'hook', payload: { k: 1 } })
    await send('one')
    await house.env.clock.advance(6_000)
    const { places, status } = await where(house, 'one')
    expect([status, places]).toMatchObject(['delivering', [{ place: 'delivery', provider: 'hook' }]])
    slow.finish(badRequest())
    await house.env.clock.settle()
    const letter = { place: 'dead_letter', action: { id: places[0]!['action_id'] }, origin: { kind: 'flush' } }
    expect(await where(house, 'one')).toMatchObject({ status: 'dead_letter', places: [letter] })

    await send('two')
    expect(await where(house, 'one')).toMatchObject({ status: 'dead_letter', places: [letter] })
    await house.memory.audit.purge(SCOPE, house.env.clock.now() + 1, 100)
    expect(await where(house, 'two')).toMatchObject({ status: 'held', places: [{ place: 'group' }], records: [] })
    expect(await where(house, 'one')).toMatchObject({ status: 'dead_letter', places: [letter], records: [] })
    await house.env.clock.advance(6_000)
    expect(await where(house, 'two')).toMatchObject({ status: 'dead_letter' })
    await expect(where(house, 'three')).rejects.toMatchObject({ status: 404 })
  })

  it('a parent is where its copies are, which are named', async () => {
    const hook = scriptedProvider('hook', [OK])
    const slow = held()
    const other = scriptedProvider('other', [slow.answer])
    const house = await testHouse({ providers: [hook, other], rules: RULES, chains: CHAINS, loops: false })
    const { copies } = await house.dispatch({ id: 'c', action_type: 'copied', provider: 'hook' })
    expect(await where(house, 'c')).toMatchObject({
      status: 'held',
      places: [{ place: 'copy', action_id: copies![0], rule: 'also' }],
    })
    const next = await testHouse({
      providers: [hook, other],
      rules: RULES,
      chains: CHAINS,
      env: house.env,
      memory: await house.memory.restart(),
    })
    await next.env.clock.advance(2_000)
    expect(await where(next, 'c')).toMatchObject({
      status: 'delivering',
      places: [{ place: 'delivery', action_id: copies![0] }],
    })
    slow.finish(badRequest())
    await next.env.clock.settle()
    expect(await where(next, 'c')).toMatchObject({ status: 'dead_letter', places: [{ action: { id: copies![0] } }] })
  })

  it('one that was put back says until when, and why', async () => {
    const hook = scriptedProvider('hook', [unavailable(), OK])
    const house = await testHouse({ providers: [hook], loops: false })
    await house.dispatch({ id: 'one', action_type: 'a', provider: 'hook' }, { async: true })
    await house.gateway.idle()
    expect(await where(house, 'one')).toMatchObject({
      places: [
        {
          place: 'delivery',
          attempts: 1,
          due_at: expect.any(String),
          last_refusal: 'failed',
          last_error: { code: 'http_503', message: 'unavailable' },
        },
      ],
    })
    await house.breakers.trip('hook', { by: 'me' })
    await house.dispatch({ id: 'two', action_type: 'a', provider: 'hook' }, { async: true })
    await house.gateway.idle()
    const [behind] = (await where(house, 'two')).places
    expect(behind).toMatchObject({ attempts: 1, last_refusal: 'circuit_open' })
    expect(behind).not.toHaveProperty('last_error')
  })
  it('one that a stop has handed back says so', async () => {
    const hook = scriptedProvider('hook', [unavailable(5_000)])
    const house = await testHouse({ providers: [hook], loops: false, route: { maxRetries: 3 } })
    const answer = house.dispatch({ id: 'one', action_type: 'a', provider: 'hook' })
    await house.env.clock.advance(0)
    await house.stop()
    expect(await answer).toMatchObject({ outcome: 'accepted' })
    const after = await testHouse({
      providers: [hook],
      loops: false,
      env: house.env,
      memory: await house.memory.restart(),
    })
    expect(await where(after, 'one')).toMatchObject({ places: [{ last_refusal: 'shutting_down' }] })
  })

  it('one nobody knows is 404, and so is one of another scope', async () => {
    const house = await testHouse()
    await house.dispatch({ id: 'one', action_type: 'a', provider: 'log' })
    await expect(where(house, 'two')).rejects.toMatchObject({ status: 404 })
    await expect(where(house, 'one', ['default', 'other'])).rejects.toMatchObject({ status: 404 })
  })
})

describe('replay', () => {
  it('the recorded action with a new id, that says where it is from', async () => {
    const house = await testHouse()
    await house.dispatch({ id: 'one', action_type: 'a', provider: 'log', payload: { x: 1 }, metadata: { zone: 'z' } })
    const again = await replay(house, 'one')
    expect(again).toMatchObject({
      action_type: 'a',
      provider: 'log',
      payload: { x: 1 },
      metadata: { zone: 'z', replayed_from: 'one' },
    })
    expect(again.id).not.toBe('one')
  })

  it('what was received, so that rules which changed it change it once; through a delivery, a hold and a refusal', async () => {
    const changing = rules(
      rule(
        'more',
        1,
        '{ type: modify, changes: { n: "{{action.payload.n}}x" }, set: { action.metadata.seen: "{{action.id}}", action.status: new } }',
      ),
      rule('later', 2, '{ type: schedule, delay_seconds: 60 }', type('later')),
      rule('no', 2, '{ type: deny }', type('no')),
    )
    const hook = scriptedProvider('hook', [badRequest(), OK])
    const house = await testHouse({ rules: changing, providers: [hook] })
    const sent = {
      payload: { n: 'a' },
      metadata: { zone: 'z' },
      dedup_key: 'd',
      fingerprint: 'f',
      status: 'old',
      starts_at: '2026-01-05T12:00:00.000Z',
      ends_at: '2026-01-05T13:00:00.000Z',
    }
    for (const [action_type, provider] of [
      ['a', 'hook'],
      ['a', 'log'],
      ['later', 'log'],
      ['no', 'log'],
    ] as const) {
      const id = `${action_type} ${provider}`
      await house.dispatch({ id, action_type, provider, ...sent })
      expect(await replay(house, id)).toMatchObject({
        ...sent,
        action_type,
        provider,
        metadata: { zone: 'z', replayed_from: id },
      })
    }
    const [record] = await house.records()
    expect(record).toMatchObject({ payload: { n: 'ax' }, metadata: { zone: 'z', seen: 'a hook' }, received: sent })
    const again = await house.dispatch(await replay(house, 'a log'))
    expect((await house.records()).at(-1)).toMatchObject({ action_id: again.action_id, payload: { n: 'ax' } })
  })

  it('a record says no more where nothing was changed, and what it says is redacted', async () => {
    const only = rules(rule('to', 1, '{ type: modify, set: { action.provider: log } }', type('to')))
    const house = await testHouse({ rules: only, toml: '[audit.redact]\nfields = ["dedup_key"]\n' })
    await house.dispatch({ id: 'one', action_type: 'to', provider: 'log', payload: { n: 1 } })
    await house.dispatch({ id: 'two', action_type: 'b', provider: 'log', dedup_key: 'secret' })
    const [one, two] = await house.records()
    expect(one).not.toHaveProperty('received')
    expect(two).toMatchObject({ received: { dedup_key: '[REDACTED]' } })
    await expect(replay(house, 'two')).rejects.toMatchObject({ code: 'payload_redacted' })
  })

  it('the first of an action that has more records than a page', async () => {
    const house = await testHouse()
    for (let n = 0; n < 1100; n++)
      await house.dispatch({ id: 'one', action_type: 'a', provider: 'log', payload: { n } })
    expect(await replay(house, 'one')).toMatchObject({ payload: { n: 0 } })
  })

  it.each([
    ['a redacted payload', '[audit.redact]\nfields = ["x"]\n', { payload: { x: 1 } }],
    ['redacted metadata', '[audit.redact]\nfields = ["zone"]\n', { metadata: { zone: 'z' } }],
    ['a payload that was not stored', '[audit]\nstore_payload = false\n', { payload: { y: 1 } }],
  ])('%s: 409 payload_redacted', async (_, toml, more) => {
    const house = await testHouse({ toml })
    await house.dispatch({ id: 'one', action_type: 'a', provider: 'log', ...more })
    await expect(replay(house, 'one')).rejects.toMatchObject({ status: 409, code: 'payload_redacted' })
  })

  it('404 for what the audit does not know', async () => {
    const house = await testHouse()
    await expect(replay(house, 'one')).rejects.toMatchObject({ status: 404 })
  })
})
