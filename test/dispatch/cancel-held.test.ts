import { describe, expect, it } from 'vitest'
import type { JsonObject } from '../../src/core/json.ts'
import { held as hanging, scriptedProvider } from '../fakes/provider.ts'
import { admin, items } from '../http/read.ts'
import { rule, type } from './build.ts'
import { hotWorld, tally } from './hot-world.ts'

const LIST = [
  rule('copied', 1, '{ type: copy, target_provider: other }', type('c')),
  rule('later', 2, '{ type: schedule, delay_seconds: 600, key: "{{payload.k}}", on_repeat: add }', type('s')),
  rule('gathered', 3, '{ type: group, group_by: [payload.k], group_wait_seconds: 600 }', type('g')),
  rule('started', 4, '{ type: chain, chain: slow }', type('x')),
  rule('also-later', 5, '{ type: schedule, delay_seconds: 600 }', type('t')),
]
const CHAINS = `
[[chains.definitions]]
name = "slow"
timeout_seconds = 3600
[[chains.definitions.steps]]
name = "one"
provider = "stuck"
action_type = "go"
[[chains.definitions.steps]]
name = "two"
provider = "out"
action_type = "go"
`
const THERE = { namespace: 'there', tenant: 'two' }

async function world() {
  const stuck = hanging()
  const out = scriptedProvider('out')
  const other = scriptedProvider('other')
  const w = await hotWorld(LIST, {
    toml: CHAINS,
    providers: { out, other, stuck: scriptedProvider('stuck', [stuck.answer]) },
  })
  const off = async (name: string, more: JsonObject = {}) =>
    (await w.switchTo(false, { cancel_held: true, ...more }, name)).body['cancelled_held']
  const waiting = async (what: string, query = '') => items(await w.g.ask('GET', `/v1/${what}${query}`), what)
  return { ...w, out, other, stuck, off, waiting }
}
const NOTHING = { scheduled: 0, copies: 0, group_events: 0, chains: 0, being_released: 0 }

describe('disabling a rule with cancel_held', () => {
  it('ends what it has scheduled, audited cancelled, and nobody else’s', async () => {
    const w = await world()
    for (let i = 0; i < 3; i++) await w.send('s', { payload: { k: 1 } })
    await w.send('t')
    expect(await w.off('later')).toEqual({ ...NOTHING, scheduled: 3 })
    expect(await w.waiting('scheduled')).toMatchObject([{ rule: 'also-later' }])
    expect(tally((await w.g.records()).map((r) => `${String(r['kind'])} ${String(r['outcome'])}`))).toEqual({
      'dispatch scheduled': 4,
      'hold cancelled': 3,
    })
    const ended = (await w.g.records()).filter((r) => r['outcome'] === 'cancelled')
    expect(ended.map((r) => [r['rule'], r['caller']])).toEqual(Array(3).fill(['later', 'anonymous']))
    expect(await admin(w.g)).toEqual([['rule disabled', { rule: 'later', enabled: false, cancel_held: true }]])
    // The key points at nothing more: the next one under it starts anew.
    await w.switchTo(true, {}, 'later')
    expect((await w.send('s', { payload: { k: 1 } })).body['outcome']).toBe('scheduled')
    expect(await w.waiting('scheduled')).toHaveLength(2)
  })

  it('ends its copies that still wait, and leaves what they are copies of', async () => {
    const w = await world()
    for (let i = 0; i < 2; i++) expect((await w.send('c')).body['outcome']).toBe('executed')
    expect(await w.off('copied')).toEqual({ ...NOTHING, copies: 2 })
    expect([w.out.sent.length, w.other.sent.length]).toEqual([2, 0])
    const cancelled = (await w.g.records()).filter((r) => r['outcome'] === 'cancelled')
    expect(cancelled).toMatchObject([
      { kind: 'hold', rule: 'copied', parent_id: 'c-1' },
      { kind: 'hold', rule: 'copied', parent_id: 'c-2' },
    ])
  })

  it('ends the events it has gathered, those of a sealed flush too, and names them', async () => {
    const w = await world()
    for (const k of [1, 1, 2]) await w.send('g', { payload: { k } })
    const [group] = await w.waiting('groups')
    await w.g.ask('POST', `/v1/groups/${String(group!['group_id'])}/flush`)
    expect(await w.off('gathered')).toEqual({ ...NOTHING, group_events: 3 })
    expect(await w.waiting('groups')).toEqual([])
    const ids = (await w.g.records())
      .filter((r) => r['outcome'] === 'cancelled')
      .flatMap((r) => (r['details'] as { action_ids: readonly string[] }).action_ids)
    expect(ids.toSorted()).toEqual(['g-1', 'g-2', 'g-3'])
    await w.g.advance(700_000)
    expect(w.out.sent).toEqual([])
  })

  it('asks the executions it has started to end', async () => {
    const w = await world()
    const started = [await w.send('x'), await w.send('x')]
    await w.g.env.clock.settle()
    expect(await w.off('started')).toEqual({ ...NOTHING, chains: 2 })
    w.stuck.finish({ status: 200, body: null })
    await w.g.advance(1000)
    for (const s of started) {
      const { body } = await w.g.ask('GET', `/v1/chains/${String(s.body['chain_id'])}`)
      expect(body).toMatchObject({ status: 'cancelled', cancelled_by: 'anonymous' })
    }
    expect(await w.off('started')).toEqual(NOTHING)
  })

  it('in one scope, or in every one', async () => {
    const w = await world()
    const everywhere = [{}, THERE, { tenant: 'x' }, { namespace: 'a:b', tenant: '_%*' }]
    for (const scope of everywhere) for (const t of ['s', 'g']) await w.send(t, { payload: { k: 1 }, ...scope })
    expect(await w.off('later', THERE)).toEqual({ ...NOTHING, scheduled: 1 })
    expect(await w.waiting('scheduled', '?namespace=there&tenant=two')).toEqual([])
    expect(await w.waiting('scheduled')).toHaveLength(1)
    expect(await w.off('later')).toEqual({ ...NOTHING, scheduled: 3 })
    expect(await w.off('gathered')).toEqual({ ...NOTHING, group_events: 4 })
    expect(await w.off('gathered')).toEqual(NOTHING)
  })

  it('leaves what is on its way out already, and says so', async () => {
    const w = await world()
    await w.send('s', { payload: { k: 1 } })
    await w.g.advance(601_000)
    const opts = { owner: 'a worker', leaseMs: 30_000, limit: 9 }
    expect(await w.g.state.claim('scheduled', opts)).toHaveLength(1)
    expect(await w.off('later')).toEqual({ ...NOTHING, being_released: 1 })
    expect(await w.waiting('scheduled')).toHaveLength(1)
  })

  it('by the hundreds, page by page', async () => {
    const w = await world()
    for (let i = 0; i < 12; i++)
      await w.g.ask(
        'POST',
        '/v1/dispatch/batch',
        Array.from({ length: 100 }, (_, n) => ({
          action_type: n % 10 === 0 ? 't' : 's',
          provider: 'out',
          payload: { k: n },
        })),
      )
    expect(await w.off('later')).toEqual({ ...NOTHING, scheduled: 1080 })
    expect(await w.waiting('scheduled', '?limit=1000')).toHaveLength(120)
  })

  it('goes with disabling alone', async () => {
    const w = await world()
    const told = await w.switchTo(true, { cancel_held: true }, 'later')
    expect([told.status, told.body]).toMatchObject([
      400,
      { code: 'invalid_switch', errors: [{ pointer: '/cancel_held' }] },
    ])
    expect((await w.switchTo(false, {}, 'later')).body).not.toHaveProperty('cancelled_held')
  })
})
