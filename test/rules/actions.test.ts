import { describe, expect, it } from 'vitest'
import type { Action } from '../../src/core/action.ts'
import { joinParts } from '../../src/core/ids.ts'
import type { JsonObject } from '../../src/core/json.ts'
import type { Plan } from '../../src/core/plan.ts'
import { reservedActions, ruleActions } from '../../src/rules/actions/index.ts'
import { action, evaluate, NOON, ruleset } from './build.ts'

/** What one rule with this action makes of an action. */
const does = (params: string, a: Action = action()): Plan => evaluate(`rules: [{ name: r, action: { ${params} } }]`, a)
const of = (payload: JsonObject, more: Partial<Action> = {}) => action(payload, more)

describe('stops', () => {
  it('allow, suppress, deny, reroute', () => {
    expect(does('type: allow, fallback_provider: local-fallback').end).toEqual({
      kind: 'deliver',
      rule: 'r',
      provider: 'log',
      rerouted: false,
      fallback: 'local-fallback',
    })
    expect(does('type: suppress, reason: a test').end).toEqual({ kind: 'suppress', rule: 'r', reason: 'a test' })
    expect(does('type: deny').end).toEqual({ kind: 'deny', rule: 'r' })
    expect(does('type: reroute, target_provider: log, fallback_provider: local-fallback').end).toEqual({
      kind: 'deliver',
      rule: 'r',
      provider: 'log',
      rerouted: true,
      fallback: 'local-fallback',
    })
  })
  it('chain stops; with then: continue it is a side effect that a later stop does not take back', () => {
    expect(does('type: chain, chain: critical-alert').end).toEqual({
      kind: 'chain',
      rule: 'r',
      chain: 'critical-alert',
    })
    const p = evaluate(`rules:
  - { name: a, action: { type: chain, chain: critical-alert, then: continue } }
  - { name: b, action: { type: chain, chain: telemetry-processing, then: continue } }
  - { name: c, action: { type: suppress } }
`)
    expect(p.effects).toMatchObject([
      { kind: 'chain', rule: 'a', chain: 'critical-alert' },
      { kind: 'chain', rule: 'b', chain: 'telemetry-processing' },
    ])
    expect(p.end.kind).toBe('suppress')
  })
})

describe('modify', () => {
  const changed = (params: string, a?: Action) => does(`type: modify, ${params}`, a)
  it('merges changes into the payload: null deletes, mappings merge, the rest replaces', () => {
    const p = changed('changes: { a: 1, b: null, c: { y: 2 }, l: [9] }', of({ b: 5, c: { x: 1 }, l: [1, 2], d: 4 }))
    expect(p.action.payload).toEqual({ a: 1, c: { x: 1, y: 2 }, l: [9], d: 4 })
  })
  it('leaves hold templates, of the action as it was; a whole one keeps its type', () => {
    const p = changed(
      'changes: { copy: "{{payload.value}}", text: "{{metadata.zone}}/{{ action.tenant }}", value: 0, at: "{{time.hour}}" }',
      of({ value: 42 }, { metadata: { zone: 'n' } }),
    )
    expect(p.action.payload).toEqual({ copy: 42, text: 'n/smartbuilding-hq', value: 0, at: 12 })
  })
  it('a metadata key with dots is found by a template as it is by a condition', () => {
    const p = changed(
      'changes: { a: "{{metadata.app.io/name}}", b: "{{action.metadata.app.io/name}}!" }',
      of({}, { metadata: { 'app.io/name': 'gw' } }),
    )
    expect(p.action.payload).toEqual({ a: 'gw', b: 'gw!' })
    expect(p.warnings).toEqual([])
  })
  it('PITFALLS 40: text from data is not expanded again', () => {
    expect(changed('changes: { a: "{{payload.x}}" }', of({ x: '{{action.tenant}}' })).action.payload).toMatchObject({
      a: '{{action.tenant}}',
    })
  })
  it('what is not there is null, and a warning', () => {
    const p = changed('changes: { a: "x{{payload.nope}}" }')
    expect(p.action.payload).toEqual({ a: 'x' })
    expect(p.warnings).toEqual(['rule "r": payload.nope is not there'])
  })
  it('set gives values to paths, and null takes them away', () => {
    const p = changed(
      'set: { action.provider: event-bus, action.metadata.zone: "{{payload.z}}", action.metadata.old: null, action.payload.a.b: [1], payload.l.1: 9, action.dedup_key: "{{payload.z}}", action.status: null }',
      of({ z: 7, l: [1, 2] }, { metadata: { old: 'x', kept: 'y' }, status: 'firing' }),
    )
    expect(p.action).toMatchObject({
      provider: 'event-bus',
      metadata: { zone: '7', kept: 'y' },
      payload: { z: 7, a: { b: [1] }, l: [1, 9] },
      dedup_key: '7',
    })
    expect(p.action.metadata).not.toHaveProperty('old')
    expect(p.action).not.toHaveProperty('status')
    expect(p.end).toMatchObject({ kind: 'deliver', provider: 'event-bus' })
  })
  it.each(['dedup_key', 'fingerprint', 'status'])('a %s that comes to an empty text is none', (field) => {
    const p = changed(`set: { action.${field}: "{{payload.x}}" }`, of({ x: '' }, { [field]: 'old' }))
    expect(p.action).not.toHaveProperty(field)
    expect(p.warnings).toEqual([])
  })
  it('a rendered provider or type that cannot be is left as it was, with a warning', () => {
    const p = changed(
      'set: { action.provider: "{{payload.p}}", action.action_type: "{{payload.t}}" }',
      of({ p: 'nobody', t: '' }),
    )
    expect(p.action).toMatchObject({ provider: 'log', action_type: 'sensor_reading' })
    expect(p.warnings).toHaveLength(2)
  })
  it('does not touch the action given, and __proto__ in data stays data', () => {
    const payload: JsonObject = JSON.parse('{"__proto__": {"admin": true}, "a": 1}')
    const given = Object.freeze(of(Object.freeze(payload)))
    const p = changed('changes: { b: "{{payload.__proto__.admin}}" }', given)
    expect(Object.keys(p.action.payload)).toEqual(['__proto__', 'a', 'b'])
    expect(p.action.payload.b).toBe(true)
    expect(Object.getPrototypeOf(p.action.payload)).toBe(Object.prototype)
  })
})

describe('deduplicate', () => {
  const guard = (params: string, a: Action) => does(`type: deduplicate, ttl_seconds: 60${params}`, a).guards[0]
  it('takes the key fields, else dedup_key, else id, and marks which', () => {
    const a = of({ device: 'd', n: 1 }, { id: 'x', dedup_key: 'x' })
    const { dedup_key: _, ...plain } = a
    const key = guard(', key: [payload.device, action.payload.n]', a)
    expect(key).toMatchObject({ kind: 'dedup', rule: 'r', ttlMs: 60_000, shown: 'device=d, n=1' })
    expect(guard('', a)).toMatchObject({ shown: 'x', id: joinParts(['r', 'dedup_key', 'x']) })
    expect(guard('', plain)).toMatchObject({ shown: 'x', id: joinParts(['r', 'id', 'x']) })
  })
  it('fields that are all missing do not make one key of everything', () => {
    const p = does('type: deduplicate, ttl_seconds: 60, key: [payload.device]', of({}, { id: 'x' }))
    expect(p.guards[0]).toMatchObject({ id: joinParts(['r', 'id', 'x']) })
    expect(p.warnings).toEqual(['rule "r": none of its key fields is there'])
  })
  it('PITFALLS 16: values that join alike stay apart, as do kinds', () => {
    const id = (a: string | number | null, b: string | number | null) =>
      (guard(', key: [payload.a, payload.b]', of({ a, b })) as { id: string }).id
    const ids = [
      id('a:b', 'c'),
      id('a', 'b:c'),
      id('1', 'x'),
      id(1, 'x'),
      id('null', 'x'),
      id(null, 'x'),
      id('', 'x'),
      id('-', 'x'),
    ]
    expect(new Set(ids).size).toBe(ids.length)
  })
  it('values over 512 bytes count by their hash, with a warning', () => {
    const long = (tail: string) =>
      does('type: deduplicate, ttl_seconds: 60, key: [payload.a]', of({ a: 'é'.repeat(300) + tail }))
    const [one, two] = [long('1'), long('2')]
    expect(one.warnings).toEqual(['rule "r": the value of action.payload.a is over 512 bytes and counts by its hash'])
    expect(one.guards[0]!.id.length).toBeLessThan(100)
    expect(one.guards[0]!.id).not.toBe(two.guards[0]!.id)
  })
})

describe('throttle', () => {
  it('is kept by rule, window and key; not by max_count', () => {
    const id = (params: string) => does(`type: throttle, ${params}`, of({ device: 'd' })).guards[0]?.id
    expect(id('max_count: 5, window_seconds: 60')).toBe(id('max_count: 9, window_seconds: 60'))
    expect(id('max_count: 5, window_seconds: 60')).not.toBe(id('max_count: 5, window_seconds: 61'))
    expect(id('max_count: 5, window_seconds: 60, key: [payload.device]')).not.toBe(
      id('max_count: 5, window_seconds: 60'),
    )
    // PITFALLS 16: values with separators in them stay apart.
    const ids = (['p', 'p:sq', 'p/sq'] as const).map(
      (a, i) =>
        does(
          'type: throttle, max_count: 5, window_seconds: 60, key: [payload.a, payload.b]',
          of({ a, b: i === 0 ? 'q:sr' : 'r' }),
        ).guards[0]?.id,
    )
    expect(new Set(ids).size).toBe(3)
    expect(does('type: throttle, max_count: 5, window_seconds: 60, message: slow down').guards[0]).toMatchObject({
      maxCount: 5,
      windowMs: 60_000,
      message: 'slow down',
    })
  })
})

describe('schedule by cron', () => {
  it('is due at the next moment behind now, however often it is asked, and at the very moment it is due too', () => {
    const set = ruleset('rules: [{ name: r, action: { type: schedule, cron: "0 * * * *" } }]')
    const due = (minute: number, ms = 0) => {
      const { end } = set.evaluate({ action: action(), now: Date.UTC(2026, 0, 5, 12, minute, 0, ms) })
      return end.kind === 'schedule' ? new Date(end.dueAt).toISOString().slice(11, 16) : end.kind
    }
    expect([due(1), due(59), due(60, -1), due(60), due(60, 1), due(1)]).toEqual([
      '13:00',
      '13:00',
      '13:00',
      '14:00',
      '14:00',
      '13:00',
    ])
  })
})

describe('group', () => {
  const group = (params: string, a: Action) =>
    does(`type: group, ${params}`, a).end as Extract<Plan['end'], { kind: 'group' }>
  it('has one id per scope, rule and values; missing is a value of its own', () => {
    const id = (payload: JsonObject, more: Partial<Action> = {}) =>
      group('group_by: [payload.floor]', of(payload, more)).groupId
    const ids = [
      id({ floor: 3 }),
      id({ floor: '3' }),
      id({}),
      id({ floor: 'null' }),
      id({ floor: 3 }, { tenant: 'x' }),
      id({ floor: 3 }, { namespace: 'x' }),
    ]
    expect(new Set(ids).size).toBe(ids.length)
    expect(id({ floor: 3, more: 1 })).toBe(ids[0])
  })
  it('labels by short names, unless two would share one', () => {
    const a = of({ floor: 3, zone: 'p' }, { metadata: { zone: 'm' } })
    expect(group('group_by: [payload.floor, payload.zone, payload.none]', a)).toMatchObject({
      groupKey: 'floor=3, zone=p, none=null',
      labels: { floor: 3, zone: 'p', none: null },
    })
    expect(group('group_by: [payload.zone, metadata.zone]', a).labels).toEqual({
      'action.payload.zone': 'p',
      'action.metadata.zone': 'm',
    })
  })
  it('takes its limits', () => {
    const params =
      'group_by: [payload.floor], group_wait_seconds: 1, group_interval_seconds: 5, max_group_size: 7, max_group_bytes: 2000, target_provider: event-bus'
    expect(group(params, of({}))).toMatchObject({
      waitMs: 1000,
      intervalMs: 5000,
      maxSize: 7,
      maxBytes: 2000,
      targetProvider: 'event-bus',
    })
  })
})

describe('schedule, cancel_scheduled and copy', () => {
  const held = (params: string, a: Action) => does(`type: schedule, ${params}`, a)
  it('a schedule and a cancel of another rule meet under one key', () => {
    const a = of({ cart: 7 })
    const key = 'key: "cart-{{payload.cart}}"'
    const { end } = held(`delay_seconds: 60, ${key}, on_repeat: keep`, a)
    expect(end).toMatchObject({ kind: 'schedule', dueAt: NOON + 60_000, onRepeat: 'keep' })
    const cancel = evaluate(`rules: [{ name: other, action: { type: cancel_scheduled, ${key} } }]`, a)
    expect(cancel.effects).toEqual([
      { kind: 'cancel_scheduled', rule: 'other', id: end.kind === 'schedule' ? end.keyId : '' },
    ])
    expect(cancel.end.kind).toBe('deliver')
  })
  it('a key may be a list of fields', () => {
    const end = (payload: JsonObject) => held('delay_seconds: 60, key: [payload.a, payload.b]', of(payload)).end
    expect(end({ a: 'x:y', b: 'z' })).not.toEqual(end({ a: 'x', b: 'y:z' }))
  })
  it('a key with a missing part is no key, so that strangers never meet', () => {
    const p = held('delay_seconds: 60, key: "cart-{{payload.cart}}"', of({}))
    expect(p.end).not.toHaveProperty('keyId')
    expect(p.warnings).toEqual(['rule "r": payload.cart is not there, so there is no schedule key'])
    expect(does('type: cancel_scheduled, key: "cart-{{payload.cart}}"').effects).toEqual([])
  })
  it('a copy is the action as it stood, with its own changes', () => {
    const p = evaluate(
      `rules:
  - { name: a, action: { type: copy, target_provider: event-bus, changes: { to: ops } } }
  - { name: b, action: { type: modify, changes: { late: true } } }
  - { name: c, action: { type: suppress } }
`,
      of({ x: 1 }),
    )
    expect(p.effects).toMatchObject([
      { kind: 'copy', rule: 'a', targetProvider: 'event-bus', action: { payload: { x: 1, to: 'ops' } } },
    ])
    expect(p.action.payload).toEqual({ x: 1, late: true })
  })
})

describe('the table', () => {
  it('has every rule action of the contract, and refuses the reserved ones', () => {
    expect(ruleActions.map((a) => a.type).sort()).toEqual([
      'allow',
      'cancel_scheduled',
      'chain',
      'copy',
      'deduplicate',
      'deny',
      'group',
      'modify',
      'reroute',
      'schedule',
      'suppress',
      'throttle',
    ])
    expect(reservedActions).toEqual(['state_machine', 'request_approval'])
  })
})
