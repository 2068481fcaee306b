import { describe, expect, it } from 'vitest'
import type { Action } from '../../src/core/action.ts'
import type { JsonObject } from '../../src/core/json.ts'
import { action, guideFiles, NOON, ruleset } from './build.ts'

const set = ruleset(guideFiles())
const plan = (payload: JsonObject, more: Partial<Action> = {}) =>
  set.evaluate({ action: action(payload, more), now: NOON })
const guards = [
  { kind: 'dedup', rule: 'dedup-sensor-readings', ttlMs: 60_000 },
  { kind: 'throttle', rule: 'throttle-telemetry', maxCount: 30, windowMs: 60_000 },
]

describe("the guide's 14 rules", () => {
  it('a critical temperature is rerouted to SNS, guarded in rule order', () => {
    const p = plan({ sensor_type: 'temperature', value: 92 })
    expect(p.end).toEqual({
      kind: 'deliver',
      rule: 'critical-temperature-alert',
      provider: 'alert-fanout',
      rerouted: true,
    })
    expect(p.guards).toMatchObject(guards)
    expect(p.matched).toEqual(['dedup-sensor-readings', 'throttle-telemetry', 'critical-temperature-alert'])
  })
  it('an intrusion is rerouted to SNS', () => {
    expect(plan({ sensor_type: 'motion', event: 'intrusion' }).end).toMatchObject({
      rule: 'intrusion-alert',
      provider: 'alert-fanout',
    })
  })
  it('a normal temperature starts the chain', () => {
    expect(plan({ sensor_type: 'temperature', value: 21 }).end).toEqual({
      kind: 'chain',
      rule: 'chain-sensor-readings',
      chain: 'telemetry-processing',
    })
  })
  it('humidity is grouped by floor for 30 s', () => {
    const { end } = plan({ sensor_type: 'humidity', floor: 3 })
    expect(end).toMatchObject({
      kind: 'group',
      groupKey: 'floor=3',
      labels: { floor: 3 },
      waitMs: 30_000,
      intervalMs: 30_000,
      maxSize: 100,
      maxBytes: 204_800,
      priority: 4,
      before: [],
    })
  })
  it('energy is scheduled for 60 s', () => {
    expect(plan({ sensor_type: 'energy' }).end).toMatchObject({
      kind: 'schedule',
      dueAt: NOON + 60_000,
      priority: 4,
      before: ['group-humidity-readings'],
    })
  })
  it('a test device is suppressed, with no guards taken', () => {
    const p = plan({ sensor_type: 'temperature', environment: 'test' })
    expect(p.end).toEqual({ kind: 'suppress', rule: 'suppress-test-devices' })
    expect(p.guards).toEqual([])
  })
  it('unsigned firmware is denied, signed goes to SQS', () => {
    const firmware = { action_type: 'firmware_update' }
    expect(plan({ signed: false }, firmware).end).toEqual({ kind: 'deny', rule: 'deny-unsigned-firmware' })
    expect(plan({ signed: true }, firmware).end).toMatchObject({ provider: 'metrics-queue' })
  })
  it('device lifecycle goes to EventBridge', () => {
    expect(plan({}, { action_type: 'device_lifecycle' }).end).toMatchObject({ provider: 'event-bus', rerouted: true })
  })
  it('anything else of the tenant is enriched and allowed', () => {
    const p = plan({ a: 1 }, { action_type: 'other' })
    expect(p.action.payload).toEqual({ a: 1, pipeline_version: '2.0.0', building_zone: 'main-campus' })
    expect(p.end).toEqual({ kind: 'deliver', rule: 'allow-remaining', provider: 'log', rerouted: false })
  })
  it('another tenant meets no rule and is delivered', () => {
    expect(plan({ sensor_type: 'humidity' }, { tenant: 'other' })).toMatchObject({
      matched: [],
      guards: [],
      end: { kind: 'deliver', provider: 'log', rerouted: false },
    })
  })
  it('energy readings, released, continue behind their schedule rule into the chain', () => {
    const first = plan({ sensor_type: 'energy' })
    if (first.end.kind !== 'schedule') throw new Error('not held')
    const { rule, priority, before } = first.end
    const again = set.evaluate({
      action: first.action,
      now: NOON + 60_000,
      resume: { rule, priority, before, matched: first.matched },
    })
    expect(again.end).toMatchObject({ kind: 'chain', chain: 'telemetry-processing' })
    expect(again.guards).toEqual([])
  })
})
