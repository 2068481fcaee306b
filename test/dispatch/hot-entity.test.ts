import { describe, expect, it } from 'vitest'
import type { JsonObject } from '../../src/core/json.ts'
import type { GatewayGiven, Told } from '../fakes/gateway.ts'
import { chainsToml } from '../fakes/toml.ts'
import { items } from '../http/read.ts'
import { rule } from './build.ts'
import { hotWorld, tally } from './hot-world.ts'

const ORDER = '{ field: action.action_type, eq: order }'
const CHECKED = '{ field: action.payload.checked, eq: true }'
const dispatches = (payload: JsonObject): JsonObject => ({
  name: 'again',
  dispatch: { action_type: 'order', payload: { room: '{{origin.payload.room}}', ...payload } },
})

/**
 * An order is checked by a chain, which gives it back under the same type; what is checked goes out. Its executions are locked by
 * the room, so that is the entity, though every order has a device of its own.
 */
async function checkedOrders(...set: readonly string[]) {
  const check = rule('check', 1, '{ type: chain, chain: c }', `{ all: [${ORDER}, { not: ${CHECKED} }] }`)
  const ship = rule('ship', 2, '{ type: reroute, target_provider: other }', `{ all: [${ORDER}, ${CHECKED}] }`)
  const toml = chainsToml([{ name: 'c', lock_by: 'payload.room', steps: [dispatches({ checked: true })] }])
  return orders([check, ship], { toml, set: ['hot_rules.internal_mode=off', ...set] })
}
async function orders(list: readonly string[], given: GatewayGiven) {
  const w = await hotWorld(list, given)
  let device = 0
  const order = async (room: string, more: JsonObject = {}): Promise<Told> => {
    const told = await w.send('order', { payload: { room, device_id: `d${++device}` }, ...more })
    await w.g.env.clock.settle()
    return told
  }
  const executions = async (room: string): Promise<readonly unknown[]> =>
    items(await w.g.ask('GET', `/v1/chains?entity=${room}&limit=100`), 'chains').map((c) => c['status'])
  return { ...w, order, executions }
}
const warnings = (told: readonly Told[]): readonly unknown[] => told.map((t) => t.body['warnings']).filter(Boolean)
const WARNING = 'hot: rule "check" has had more than 50 runs in PT1M for one entity'

describe('the limit of an entity, of a rule whose chain dispatches the type that starts it', () => {
  it('warns of the 51st order of a room within a minute; another room and the time after have none', async () => {
    const w = await checkedOrders()
    const told: Told[] = []
    for (let i = 0; i < 50; i++) {
      told.push(await w.order('red'))
      if (i % 2 === 0) told.push(await w.order('blue'))
      await w.g.advance(1000)
    }
    expect([tally(told.map((t) => t.body['outcome'])), warnings(told)]).toEqual([{ chain_started: 75 }, []])
    const over = await w.order('red', { id: 'over' })
    expect([over.status, over.body]).toMatchObject([202, { outcome: 'chain_started', warnings: [WARNING] }])
    const records = items(await w.g.ask('GET', '/v1/audit/over'), 'records')
    expect(records.find((r) => r['kind'] === 'dispatch')).toMatchObject({
      outcome: 'chain_started',
      details: { warnings: [WARNING] },
    })
    expect(warnings([await w.order('blue')])).toEqual([])
    expect(await w.standing('check')).toMatchObject({ enabled: true })
    // What was over passed all the same, and what the executions gave back went out.
    expect(tally(await w.executions('red'))).toEqual({ completed: 51 })
    expect(w.other.sent).toHaveLength(51 + 26)
    await w.g.advance(60_000)
    expect(warnings([await w.order('red')])).toEqual([])
    expect((await w.g.ask('GET', '/metrics')).text).toContain(
      'signalbox_rule_limit_warnings_total{rule="check",limit="entity_limit"} 1',
    )
  })

  it('disable: the 51st is refused and the rule is off in the scope, for every room; another scope goes on', async () => {
    const w = await checkedOrders('hot_rules.mode=disable', 'hot_rules.rule_limit.count=1000')
    for (const room of ['red', 'blue'])
      expect(tally(await w.times(room === 'red' ? 50 : 49, () => w.order(room))), room).toEqual({
        chain_started: room === 'red' ? 50 : 49,
      })
    expect(await w.standing('check')).toMatchObject({ enabled: true })
    const over = await w.order('red', { id: 'over' })
    const details = { limit: 'entity_limit', count: 50, window: 'PT1M', action_id: 'over' }
    expect([over.status, over.body]).toMatchObject([409, { outcome: 'hot', rule: 'check', disable_details: details }])
    expect(over.body).toMatchObject({
      disable_details: { why: 'rule "check" has had more than 50 runs in PT1M for one entity' },
    })
    expect(await w.standing('check')).toMatchObject({ enabled: false, disabled_by: 'system', disable_details: details })
    expect(await w.times(1, () => w.order('blue'))).toEqual(['hot'])
    expect(tally(await w.executions('red'))).toEqual({ completed: 50 })
    expect(w.other.sent).toHaveLength(99)
    const elsewhere = { namespace: 'default', tenant: 'two' }
    expect(await w.times(1, () => w.order('red', elsewhere))).toEqual(['chain_started'])
    expect(await w.standing('check', '?namespace=default&tenant=two')).toMatchObject({ enabled: true })
    // By hand it is on again, and the counting begins anew.
    await w.switchTo(true, { namespace: 'default', tenant: 'default' }, 'check')
    expect(tally(await w.times(51, () => w.order('red')))).toEqual({ chain_started: 50, hot: 1 })
  })

  it('counts what goes round by itself: the step that is one too many is told so', async () => {
    const round = rule('round', 1, '{ type: chain, chain: c }', ORDER).replace(
      '    action',
      '    reentrant: true\n    action',
    )
    const w = await orders([round], {
      toml: chainsToml([{ name: 'c', reentrant: true, lock_by: 'payload.room', steps: [dispatches({})] }]),
      set: ['hot_rules.internal_mode=off', 'hot_rules.mode=disable', 'hot_rules.entity_limit.count=4'],
    })
    await w.order('red')
    for (let i = 0; i < 12; i++) await w.g.env.clock.settle()
    expect(tally(await w.executions('red'))).toEqual({ completed: 3, failed: 1 })
    expect(items(await w.g.ask('GET', '/v1/chains?entity=red&status=failed'), 'chains')).toMatchObject([
      { error: { code: 'hot' } },
    ])
    expect(await w.standing('round')).toMatchObject({ enabled: false, disable_details: { limit: 'entity_limit' } })
  })

  it('is not counted for a chain that dispatches another type', async () => {
    const start = rule('start', 1, '{ type: chain, chain: c }', ORDER)
    const step = { name: 'told', dispatch: { action_type: 'told', provider: 'other', payload: { n: 1 } } }
    const w = await orders([start], {
      toml: chainsToml([{ name: 'c', lock_by: 'payload.room', steps: [step] }]),
      set: ['hot_rules.mode=disable', 'hot_rules.entity_limit.count=1', 'hot_rules.internal_mode=off'],
    })
    expect(tally(await w.times(5, () => w.order('red')))).toEqual({ chain_started: 5 })
    expect(tally(await w.executions('red'))).toEqual({ completed: 5 })
  })
})
