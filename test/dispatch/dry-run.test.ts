import { expect, it } from 'vitest'
import { testGateway } from '../fakes/gateway.ts'
import { rule, rules, type } from './build.ts'

const CHAIN = `
[[chains.definitions]]
name = "c"
[[chains.definitions.steps]]
name = "one"
provider = "out"
action_type = "go"
`
const LIST = rules(
  rule('once', 1, '{ type: deduplicate, ttl_seconds: 60, key: [payload.k] }'),
  rule('slow', 2, '{ type: throttle, max_count: 5, window_seconds: 60, message: not so fast }'),
  rule('more', 3, '{ type: copy, target_provider: other }'),
  rule('also', 4, '{ type: chain, chain: c, then: continue }'),
  rule('not-that', 5, '{ type: cancel_scheduled, key: k }'),
  rule(
    'gathered',
    6,
    '{ type: group, group_by: [payload.k], group_wait_seconds: 7, group_interval_seconds: 9, max_group_size: 3, max_group_bytes: 5000, target_provider: other }',
    type('g'),
  ),
  rule('later', 6, '{ type: schedule, delay_seconds: 10, key: k, on_repeat: keep }', type('s')),
  rule('started', 6, '{ type: chain, chain: c }', type('c')),
  rule('elsewhere', 6, '{ type: reroute, target_provider: other, fallback_provider: out }', type('r')),
  rule('noise', 6, '{ type: suppress, reason: too much }', type('n')),
)
const ENDS = [
  [
    'g',
    'grouped',
    {
      type: 'group',
      rule: 'gathered',
      group_id: expect.any(String),
      group_key: expect.any(String),
      labels: { k: 1 },
      group_wait_seconds: 7,
      group_interval_seconds: 9,
      max_group_size: 3,
      max_group_bytes: 5000,
      target_provider: 'other',
    },
  ],
  ['s', 'scheduled', { type: 'schedule', rule: 'later', scheduled_for: '2026-01-05T12:00:10.000Z', on_repeat: 'keep' }],
  ['c', 'chain_started', { type: 'chain', rule: 'started', chain: 'c' }],
  ['r', 'rerouted', { type: 'reroute', rule: 'elsewhere', provider: 'other', fallback_provider: 'out' }],
  ['n', 'suppressed', { type: 'suppress', rule: 'noise', reason: 'too much' }],
  ['d', 'executed', { type: 'deliver', provider: 'out' }],
] as const

it.each(ENDS)('a dry run tells the whole plan, and does nothing of it: %s', async (action_type, verdict, end) => {
  const g = await testGateway({ rules: LIST, toml: CHAIN, providers: { out: [], other: [] } })
  const action = { action_type, provider: 'out', id: 'one', payload: { k: 1 } }
  const { status, body } = await g.dispatch(action, {}, '?dry_run=true')
  expect(status).toBe(200)
  expect(body).toMatchObject({ outcome: 'dry_run', verdict })
  const last = 'rule' in end ? [end.rule] : []
  // What only turns it away has no run of its own.
  const runs = ['more', 'also', ...(verdict === 'suppressed' ? [] : last)]
  expect(body['plan']).toEqual({
    matched: ['once', 'slow', 'more', 'also', 'not-that', ...last],
    guards: [
      { type: 'deduplicate', rule: 'once', dedup_key: expect.any(String), ttl_seconds: 60 },
      { type: 'throttle', rule: 'slow', max_count: 5, window_seconds: 60, message: 'not so fast' },
    ],
    limits: runs.map((name) => ({ type: 'rule_limit', rule: name, count: 100, window: 'PT30S', mode: 'warn' })),
    effects: [
      {
        type: 'copy',
        rule: 'more',
        target_provider: 'other',
        action: expect.objectContaining({ id: 'one', payload: { k: 1 } }),
      },
      { type: 'chain', rule: 'also', chain: 'c' },
      { type: 'cancel_scheduled', rule: 'not-that' },
    ],
    end,
    action: expect.objectContaining({ id: 'one', provider: 'out' }),
  })
  await g.advance(60_000)
  expect([g.providers['out']?.sent, g.providers['other']?.sent, await g.records()]).toEqual([[], [], []])
  await g.close()
})
