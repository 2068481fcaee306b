import { readFileSync } from 'node:fs'
import { describe, expect, it } from 'vitest'
import type { Lineage } from '../../src/core/lineage.ts'
import type { Plan } from '../../src/core/plan.ts'
import { withoutLoop } from '../../src/dispatch/loop.ts'
import { OK, scriptedProvider, unavailable } from '../fakes/provider.ts'
import { rule, type } from './build.ts'
import { carrying, ended, left, loopWorld } from './loop-world.ts'

const reentrant = (text: string): string => `${text}    reentrant: true\n`
const toOther = rule('to-other', 5, '{ type: reroute, target_provider: other }', type('a'))

describe('PITFALLS 60: an action that comes back', () => {
  it('is stopped at the rule it has passed before, and the audit names the way round', async () => {
    const { g, other, send, back, lineageOf } = await loopWorld([toOther])
    const first = await send('a')
    expect(first.status).toBe(200)
    expect(lineageOf(other.sent[0])).toEqual({ origin: first.body['run_id'], passed: ['rule:to-other'], hops: 0 })

    const again = await back(other.sent[0], 'a', { id: 'again' })
    expect([again.status, again.headers.get('signalbox-outcome')]).toEqual([508, 'loop_detected'])
    expect(again.body).toEqual({
      action_id: 'again',
      run_id: expect.any(String),
      outcome: 'loop_detected',
      rule: 'to-other',
      reason: 'rule "to-other" has been passed before',
      cycle: ['rule:to-other', 'rule:to-other'],
    })
    expect(other.sent).toHaveLength(1)
    const { body } = await g.ask('GET', '/v1/audit/again')
    expect(body['records']).toEqual([
      expect.objectContaining({
        outcome: 'loop_detected',
        rule: 'to-other',
        matched: ['to-other'],
        details: { reason: expect.any(String), cycle: ['rule:to-other', 'rule:to-other'] },
      }),
    ])
  })

  it('goes its way where that is another', async () => {
    const { other, hook, send, back, lineageOf } = await loopWorld([
      toOther,
      rule('b-to-hook', 5, '{ type: reroute, target_provider: hook }', type('b')),
    ])
    const first = await send('a')
    expect((await back(other.sent[0], 'b')).status).toBe(200)
    const { origin, passed, hops } = lineageOf(hook.sent[0])
    expect([origin, passed, hops]).toEqual([first.body['run_id'], ['rule:to-other', 'rule:b-to-hook'], 1])
    const third = await back(hook.sent[0], 'a')
    expect(third.body['cycle']).toEqual(['rule:to-other', 'rule:b-to-hook', 'rule:to-other'])
  })

  it('may pass a reentrant rule again, but no action comes back a ninth time', async () => {
    const { other, send, back, lineageOf } = await loopWorld([reentrant(toOther)])
    expect((await send('a')).status).toBe(200)
    for (let hop = 1; hop <= 8; hop++) {
      expect((await back(other.sent.at(-1), 'a')).status).toBe(200)
      expect(lineageOf(other.sent.at(-1)).hops).toBe(hop)
    }
    const ninth = await back(other.sent.at(-1), 'a')
    expect([ninth.status, ninth.body['reason']]).toEqual([508, 'it has come back more than 8 times'])
    expect(ninth.body['cycle']).toEqual(Array.from({ length: 9 }, () => 'rule:to-other'))
    expect(other.sent).toHaveLength(9)
  })

  it('is counted by its hops where no rule sends it, and also where it would be dropped', async () => {
    const { hook, send, back } = await loopWorld([rule('drop', 1, '{ type: suppress }', type('noise'))])
    await send('a')
    for (let hop = 1; hop <= 8; hop++) expect((await back(hook.sent.at(-1), 'a')).status).toBe(200)
    expect((await back(hook.sent.at(-1), 'a')).body).toMatchObject({ outcome: 'loop_detected', cycle: [] })
    expect((await back(hook.sent.at(-1), 'noise')).body).toMatchObject({ outcome: 'loop_detected', rule: 'drop' })
    expect((await back(hook.sent.at(-2), 'noise')).body).toMatchObject({ outcome: 'suppressed' })
  })

  it('is not stopped by rules that only change, ask or drop it', async () => {
    const { hook, send, back } = await loopWorld([
      rule('mark', 1, '{ type: modify, changes: { marked: true } }'),
      rule('once', 2, '{ type: deduplicate, ttl_seconds: 60 }'),
      rule('slow', 2, '{ type: throttle, max_count: 9, window_seconds: 60 }'),
      rule('end', 2, '{ type: cancel_scheduled, key: k }'),
      rule('no', 3, '{ type: deny }', type('bad')),
    ])
    await send('a')
    expect((await back(hook.sent[0], 'b')).status).toBe(200)
    expect((await back(hook.sent[1], 'c')).status).toBe(200)
    expect((await back(hook.sent[2], 'bad')).status).toBe(403)
  })
})

describe('the plan of an action that comes back', () => {
  const plan: Plan = {
    action: { id: 'a', namespace: 'n', tenant: 't', action_type: 'x', payload: {}, metadata: {}, created_at: '' },
    matched: ['go'],
    guards: [{ kind: 'throttle', rule: 'slow', id: 's', maxCount: 1, windowMs: 1 }],
    limits: [
      { rule: 'go', limit: 'rule_limit', id: 'l', count: 1, windowMs: 1, window: 'PT1S', mode: 'disable', since: '' },
    ],
    effects: [],
    end: { kind: 'chain', rule: 'go', chain: 'c' },
    warnings: [],
  }
  const lineage: Lineage = { origin: 'o', passed: ['rule:first', 'chain:c'], hops: 1 }
  const nothing = { rule: () => false, chain: () => false }

  it('stands where it passes nothing twice, or only what may be', () => {
    expect(withoutLoop(plan, undefined, nothing)).toBe(plan)
    expect(withoutLoop(plan, { ...lineage, passed: ['rule:c', 'chain:go'] }, nothing)).toBe(plan)
    expect(withoutLoop(plan, lineage, { ...nothing, chain: (name) => name === 'c' })).toBe(plan)
    expect(withoutLoop(plan, lineage, { ...nothing, rule: () => true }).end.kind).toBe('loop')
  })

  it('else says so, with what had matched no guard and no run', () => {
    expect(withoutLoop(plan, lineage, nothing)).toEqual({
      ...plan,
      guards: [],
      limits: [],
      end: { kind: 'loop', rule: 'go', reason: 'chain "c" has been passed before', cycle: ['chain:c', 'chain:c'] },
    })
    expect(withoutLoop(plan, { ...lineage, hops: 9 }, { rule: () => true, chain: () => true }).end).toEqual({
      kind: 'loop',
      rule: 'go',
      reason: 'it has come back more than 8 times',
      cycle: ['rule:first', 'chain:c'],
    })
  })
})

it('the rules a new gateway begins with let what a worker sends back pass', async () => {
  const text = readFileSync(new URL('../../rules/routes.yaml', import.meta.url), 'utf8')
  const { g, hook, send, back } = await loopWorld([])
  g.writeRules(text)
  expect((await g.rules.reload()).ok).toBe(true)
  expect((await send('task')).body['rule']).toBe('allow-the-rest')
  const second = await back(hook.sent[0], 'task_done')
  expect([second.status, second.body['rule']]).toEqual([200, 'allow-the-rest'])
})

describe('a lineage that leaves', () => {
  it('is left out where the provider is told so, and where nothing leaves the machine', async () => {
    const log = scriptedProvider('log', [OK], {
      hasEffect: false,
      render: (_a, _t, lineage) => ({ lineage: lineage ?? null }),
    })
    const hook = carrying('hook')
    const { g } = await loopWorld([], { providers: { hook, log }, set: ['providers.hook.lineage=false'] })
    for (const provider of ['hook', 'log']) expect((await g.dispatch({ action_type: 'a', provider })).status).toBe(200)
    for (const { sent } of [hook, log]) expect(sent[0]?.request).toMatchObject({ lineage: null })
  })

  it('is the same at every attempt', async () => {
    const { g, hook, send } = await loopWorld([], {
      script: [unavailable(), unavailable(), OK],
      set: ['executor.max_retries=2'],
    })
    const sending = send('a')
    await g.advance(10_000)
    expect((await sending).body['attempts']).toBe(3)
    expect(new Set(hook.sent.map((s) => left(s).lineage)).size).toBe(1)
  })
})

describe('what a detected loop leaves', () => {
  it('nothing is sent, counted or held, and no guard is asked', async () => {
    const { g, other, hook, send, back } = await loopWorld([
      rule('slow', 1, '{ type: throttle, max_count: 2, window_seconds: 60 }'),
      rule('aside', 2, '{ type: copy, target_provider: hook }', type('b')),
      toOther,
    ])
    await g.ask('PUT', '/v1/quotas/q', { max_actions: 3, window: 'hourly' })
    await send('a')
    for (let n = 0; n < 5; n++) expect((await back(other.sent[0], 'a')).status).toBe(508)
    expect((await send('b')).body['copies']).toHaveLength(1)
    await g.advance(2000)
    expect([other.sent.length, hook.sent.length]).toEqual([1, 2])
    const { body } = await g.ask('GET', '/v1/quotas/q/usage')
    expect(body['used']).toBe(3) // two actions and a copy
  })

  it('is told a repeated Idempotency-Key as it was', async () => {
    const { g, other, send } = await loopWorld([toOther])
    await send('a')
    const headers = { 'signalbox-lineage': left(other.sent[0]).lineage, 'idempotency-key': 'k' }
    const first = await send('a', { id: 'x' }, headers)
    const again = await send('a', { id: 'x' }, headers)
    expect([again.status, again.body]).toEqual([508, first.body])
    expect(again.headers.get('idempotent-replayed')).toBe('true')
    expect(await ended(g)).toHaveLength(2)
  })

  it('is foreseen by a dry run and by evaluate, with the trace, and told in a batch', async () => {
    const { g, other, send } = await loopWorld([toOther])
    await send('a')
    const headers = { 'signalbox-lineage': left(other.sent[0]).lineage }
    const action = { action_type: 'a', provider: 'hook' }
    const cycle = ['rule:to-other', 'rule:to-other']
    for (const [path, body] of [
      ['/v1/dispatch?dry_run=true&trace=true', action],
      ['/v1/rules/evaluate', { action }],
    ] as const) {
      const told = await g.ask('POST', path, body, headers)
      expect(told.body).toMatchObject({
        verdict: 'loop_detected',
        rule: 'to-other',
        plan: { end: { type: 'loop', cycle } },
      })
      expect(told.body['trace']).toMatchObject([{ rule: 'to-other', matched: true }])
    }
    const live = await g.dispatch(action, headers, '?trace=true')
    expect(live.body).toMatchObject({ outcome: 'loop_detected', cycle, trace: [{ matched: true }] })
    const batch = await g.ask('POST', '/v1/dispatch/batch', [action, { ...action, action_type: 'b' }], headers)
    expect(batch.body['results']).toMatchObject([{ status: 508, outcome: 'loop_detected', cycle }, { status: 200 }])
  })
})

describe('chains', () => {
  const toml = `
[[chains.definitions]]
name = "c"
steps = [{ name = "s", provider = "other", action_type = "step" }, { name = "t", sub_chain = "d" }]
[[chains.definitions]]
name = "d"
steps = [{ name = "u", provider = "hook", action_type = "deep", fallback_provider = "other" }]
`
  it('an execution hands on the rule and the chain that started it, a sub-chain itself too', async () => {
    const { g, other, hook, send, back, lineageOf } = await loopWorld(
      [
        rule('go', 1, '{ type: chain, chain: c }', type('a')),
        rule('go-too', 1, '{ type: chain, chain: c }', type('b')),
        rule('deeper', 1, '{ type: chain, chain: d }', type('x')),
      ],
      { toml },
    )
    const first = await send('a')
    await g.advance(1000)
    const { origin, passed } = lineageOf(other.sent[0])
    expect([origin, passed]).toEqual([first.body['run_id'], ['rule:go', 'chain:c']])
    expect(lineageOf(hook.sent[0]).passed).toEqual(['rule:go', 'chain:c', 'chain:d'])
    expect((await back(other.sent[0], 'a')).body['cycle']).toEqual(['rule:go', 'chain:c', 'rule:go'])
    expect((await back(hook.sent[0], 'b')).body).toMatchObject({
      outcome: 'loop_detected',
      rule: 'go-too',
      reason: 'chain "c" has been passed before',
      cycle: ['chain:c', 'chain:d', 'chain:c'],
    })
    expect((await back(hook.sent[0], 'x')).body['cycle']).toEqual(['chain:d', 'chain:d'])
  })

  it('a start on the way is stopped like one at the end', async () => {
    const { g, other, send, back } = await loopWorld(
      [rule('go', 1, '{ type: chain, chain: c, then: continue }'), rule('done', 2, '{ type: suppress }')],
      { toml },
    )
    await send('a')
    await g.advance(1000)
    const again = await back(other.sent[0], 'b')
    expect(again.body).toMatchObject({ outcome: 'loop_detected', rule: 'go', cycle: ['rule:go', 'chain:c', 'rule:go'] })
    expect((await g.ask('GET', '/v1/chains')).body['chains']).toHaveLength(2)
  })
})
