import { describe, expect, it } from 'vitest'
import type { JsonObject } from '../../src/core/json.ts'
import { badRequest, OK, refused, serverError } from '../fakes/provider.ts'
import { rule, type } from './build.ts'
import { ended, left, loopWorld } from './loop-world.ts'

const later = rule('later', 2, '{ type: schedule, delay_seconds: 10 }', type('later'))
const some = rule('some', 2, '{ type: group, group_by: [payload.k], group_wait_seconds: 5 }', type('event'))
const toOther = rule('to-other', 5, '{ type: reroute, target_provider: other }')

describe('a released hold', () => {
  it('goes on with its lineage and its holder', async () => {
    const { g, other, send, lineageOf } = await loopWorld([later, toOther])
    const { body } = await send('later')
    await g.advance(12_000)
    const passed = ['rule:later', 'rule:to-other']
    expect(lineageOf(other.sent[0])).toEqual({ origin: body['run_id'], passed, hops: 0 })
  })

  it('whose next rule has been passed before ends there, in the audit, and is gone', async () => {
    const { g, other, send, back } = await loopWorld([later, toOther])
    await send('a')
    expect((await back(other.sent[0], 'later', { id: 'held' })).status).toBe(202)
    await g.advance(12_000)
    expect(other.sent).toHaveLength(1)
    expect(await ended(g)).toEqual([
      ['dispatch', 'rerouted'],
      ['dispatch', 'scheduled'],
      ['release', 'loop_detected', ['rule:to-other', 'rule:later', 'rule:to-other']],
    ])
    expect((await g.ask('GET', '/v1/actions/held')).body['status']).toBe('ended')
    expect((await g.ask('GET', '/v1/dlq')).body['dead_letters']).toEqual([])
  })

  it('that comes back is not held again', async () => {
    const { g, hook, send, back } = await loopWorld([later])
    await send('later')
    await g.advance(12_000)
    expect((await back(hook.sent[0], 'later')).body['cycle']).toEqual(['rule:later', 'rule:later'])
  })
})

describe('a group', () => {
  it('carries the longest lineage of its members, and shows it to nobody', async () => {
    const { g, hook, other, send, back, lineageOf } = await loopWorld([
      some,
      rule('b', 5, '{ type: reroute, target_provider: other }', type('b')),
    ])
    const far = await send('b')
    await send('event')
    await back(other.sent[0], 'event')
    await send('event')
    const { body } = await g.ask('GET', '/v1/groups')
    const group = (body['groups'] as JsonObject[])[0]!
    expect(JSON.stringify(group)).not.toMatch(/lineage|passed|hops/)
    await g.advance(8000)
    expect(left(hook.sent[0]).payload['event_count']).toBe(3)
    expect(JSON.stringify(left(hook.sent[0]).payload)).not.toMatch(/lineage|passed|hops/)
    expect(lineageOf(hook.sent[0])).toEqual({ origin: far.body['run_id'], passed: ['rule:b', 'rule:some'], hops: 1 })
    expect((await back(hook.sent[0], 'event')).body['cycle']).toEqual(['rule:some', 'rule:some'])
  })

  it('of new actions begins with the first of them', async () => {
    const { g, hook, send, lineageOf } = await loopWorld([some])
    const first = await send('event')
    await send('event')
    await g.advance(8000)
    expect(lineageOf(hook.sent[0])).toEqual({ origin: first.body['run_id'], passed: ['rule:some'], hops: 0 })
  })

  it('ends with the one of its members that has come round', async () => {
    const { g, other, send, back } = await loopWorld([some, toOther])
    await send('a')
    await back(other.sent[0], 'event')
    await send('event')
    await g.advance(8000)
    expect(other.sent).toHaveLength(1)
    expect((await ended(g)).at(-1)).toEqual(['flush', 'loop_detected', ['rule:to-other', 'rule:some', 'rule:to-other']])
    expect((await g.state.list('flush', ['default', 'default'], { limit: 10 })).entries).toEqual([])
  })
})

describe('what else goes on with the lineage', () => {
  it('a copy, which has passed its own rule; the action itself has not', async () => {
    const { g, hook, other, send, back, lineageOf } = await loopWorld([
      rule('aside', 1, '{ type: copy, target_provider: other }', type('a')),
      rule('on', 2, '{ type: allow }', type('a')),
    ])
    const { body } = await send('a')
    await g.advance(2000)
    const origin = body['run_id']
    expect(lineageOf(hook.sent[0])).toEqual({ origin, passed: ['rule:on'], hops: 0 })
    expect(lineageOf(other.sent[0])).toEqual({ origin, passed: ['rule:aside'], hops: 0 })
    expect((await back(hook.sent[0], 'a')).body['cycle']).toEqual(['rule:on', 'rule:on'])
    const again = await back(other.sent[0], 'a')
    expect([again.body['cycle'], again.body['copies']]).toEqual([['rule:aside', 'rule:aside'], undefined])
  })

  it('an occurrence is the first of its own', async () => {
    const { g, other, lineageOf } = await loopWorld([toOther])
    const recurring = { provider: 'hook', action_type: 'tick', cron_expression: '* * * * *', payload: {} }
    expect((await g.ask('PUT', '/v1/recurring/r', recurring)).status).toBe(201)
    await g.advance(65_000)
    const [record] = (await g.records()).filter((r) => r['kind'] === 'occurrence')
    expect(lineageOf(other.sent[0])).toEqual({ origin: record?.['run_id'], passed: ['rule:to-other'], hops: 0 })
  })

  it('a fallback’s request, rendered on the way', async () => {
    const { hook, other, send, lineageOf } = await loopWorld(
      [rule('on', 1, '{ type: allow, fallback_provider: other }')],
      {
        script: [refused()],
        toml: '[circuit_breaker]\nfailure_threshold = 1\n',
      },
    )
    expect((await send('a')).body['reason']).toBe('circuit_open')
    expect(left(other.sent[0]).lineage).toBe(left(hook.sent[0]).lineage)
    expect(lineageOf(other.sent[0]).passed).toEqual(['rule:on'])
  })

  it('a dead letter: its redrive, and what it is forwarded as', async () => {
    const { g, hook, other, send, back, lineageOf } = await loopWorld([rule('on', 1, '{ type: allow }', type('a'))], {
      script: [badRequest(), OK],
      toml: '[dead_letters]\nforward_to = "other"\n',
    })
    const { body } = await send('a')
    await g.advance(2000)
    const lineage = { origin: body['run_id'], passed: ['rule:on'], hops: 0 }
    expect(lineageOf(hook.sent[0])).toEqual(lineage)
    const forwarded = ['rule:on', 'rule:[dead_letters].forward_to']
    expect(lineageOf(other.sent[0])).toEqual({ ...lineage, passed: forwarded })
    expect((await back(other.sent[0], 'a')).status).toBe(508)

    const id = String(body['dead_letter_id'])
    const shown = await g.ask('GET', `/v1/dlq/${id}`)
    expect(shown.text).not.toMatch(/lineage|passed|hops/)
    expect((await g.ask('POST', `/v1/dlq/${id}/redrive`)).status).toBe(200)
    expect(hook.sent[1]?.token).not.toBe(hook.sent[0]?.token)
    expect(lineageOf(hook.sent[1])).toEqual(lineage)
  })

  it('a dead letter of a chain’s step', async () => {
    const { g, other, send, lineageOf } = await loopWorld([rule('go', 1, '{ type: chain, chain: c }')], {
      script: [badRequest()],
      toml: `[dead_letters]\nforward_to = "other"\n[[chains.definitions]]\nname = "c"\nsteps = [{ name = "s", provider = "hook", action_type = "x" }]\n`,
    })
    const { body } = await send('a')
    await g.advance(3000)
    const passed = ['rule:go', 'chain:c', 'rule:[dead_letters].forward_to']
    expect(other.sent).toHaveLength(1)
    expect(lineageOf(other.sent[0])).toEqual({ origin: body['run_id'], passed, hops: 0 })
  })

  it('a run that another takes over: the same bytes, whatever the other had behind it', async () => {
    const { hook, send } = await loopWorld([rule('once', 1, '{ type: deduplicate, ttl_seconds: 60 }')], {
      script: [serverError(), OK],
    })
    const { body } = await send('a', { dedup_key: 'k' })
    expect(body['unknown']).toBe(true)
    const lineage = left(hook.sent[0]).lineage
    const second = await send('a', { dedup_key: 'k' }, { 'signalbox-lineage': lineage })
    expect(second.body['first_action_id']).toBe(body['action_id'])
    expect(hook.sent[1]).toMatchObject({ token: hook.sent[0]!.token, request: { lineage } })
  })
})
