import { readFileSync } from 'node:fs'
import { describe, expect, it } from 'vitest'
import type { Action } from '../../src/core/action.ts'
import type { JsonObject } from '../../src/core/json.ts'
import { action, context, NOON, ruleset } from '../rules/build.ts'

const file = (name: string) => ({
  file: `rules/${name}.yaml`,
  text: readFileSync(new URL(`../../examples/aws-event-pipeline/rules/${name}.yaml`, import.meta.url), 'utf8'),
})
const names = { ...context.names, providers: [...context.names.providers, 'email-alerts'] }
const set = (environment: Record<string, string>) =>
  ruleset(['processing', 'routing', 'safety'].map(file), { environment, names })
const rules = set({})
const plan = (payload: JsonObject, more: Partial<Action> = {}) =>
  rules.evaluate({ action: action(payload, more), now: NOON })

describe("the example's rules", () => {
  it('mail an extreme temperature as well, because the copy stands before the rule that stops', () => {
    const p = plan({ device_id: 'boiler', sensor_type: 'temperature', value: 98.4, unit: '°C' })
    expect(p.end).toMatchObject({ kind: 'deliver', rule: 'critical-temperature-alert', provider: 'alert-fanout' })
    expect(p.effects).toMatchObject([
      { kind: 'copy', targetProvider: 'email-alerts', action: { payload: { subject: 'boiler reports 98.4 °C' } } },
    ])
    expect(p.action.payload).not.toHaveProperty('subject')
  })
  it('mail nothing below that', () => {
    const p = plan({ sensor_type: 'temperature', value: 95 })
    expect(p.end).toMatchObject({ rule: 'critical-temperature-alert' })
    expect(p.effects).toEqual([])
  })
  it('say why something is refused', () => {
    expect(plan({ environment: 'test', sensor_type: 'temperature', value: 99 })).toMatchObject({
      end: { kind: 'suppress', reason: 'test device' },
      effects: [],
    })
    expect(plan({ signed: false }, { action_type: 'firmware_update' }).end).toMatchObject({ kind: 'deny' })
    expect(plan({ signed: true }, { action_type: 'firmware_update' }).end).toMatchObject({ provider: 'metrics-queue' })
  })
  it('send a released energy reading on to the chain, past its holder and the limits', () => {
    const { end } = plan({ sensor_type: 'energy', value: 1 })
    if (end.kind !== 'schedule') throw new Error(`held by ${end.kind}`)
    const resume = { rule: end.rule, priority: end.priority, before: end.before, matched: [] }
    const released = rules.evaluate({ action: action({ sensor_type: 'energy', value: 1 }), now: NOON, resume })
    expect(released).toMatchObject({ guards: [], end: { kind: 'chain', chain: 'telemetry-processing' } })
  })
  it('enrich what is left, and let it out', () => {
    expect(plan({}, { action_type: 'device_heartbeat_check' })).toMatchObject({
      action: { payload: { pipeline_version: '2.0.0', building_zone: 'main-campus' } },
      end: { kind: 'deliver', rule: 'allow-remaining' },
    })
  })
  it('take their times from variables, and have those of a real building without', () => {
    const held = (environment: Record<string, string>) => {
      const at = (sensor_type: string) => set(environment).evaluate({ action: action({ sensor_type }), now: NOON })
      return { humidity: at('humidity'), energy: at('energy') }
    }
    const usual = held({})
    expect(usual.humidity).toMatchObject({
      guards: [{ ttlMs: 60_000 }, { maxCount: 30, windowMs: 60_000 }],
      end: { kind: 'group', waitMs: 30_000, targetProvider: 'metrics-queue' },
    })
    expect(usual.energy.end).toMatchObject({ kind: 'schedule', dueAt: NOON + 60_000 })
    const short = held({
      DEDUP_TTL_SECONDS: '2',
      THROTTLE_WINDOW_SECONDS: '3',
      HUMIDITY_WAIT_SECONDS: '4',
      ENERGY_DELAY_SECONDS: '5',
    })
    expect(short.humidity).toMatchObject({ guards: [{ ttlMs: 2000 }, { windowMs: 3000 }], end: { waitMs: 4000 } })
    expect(short.energy.end).toMatchObject({ dueAt: NOON + 5000 })
  })
})
