// Prints microseconds per evaluation. Run with node; not a test.

import type { Action } from '../../src/core/action.ts'
import type { Ruleset } from '../../src/core/plan.ts'
import { action, compiled, guideFiles, NOON, setOf } from './build.ts'

function micros(set: Ruleset, actions: readonly Action[], rounds: number): number {
  // Through JSON, as a request comes: no string is shared with the rules.
  const given = actions.map((a): Action => JSON.parse(JSON.stringify(a)))
  let best = Number.POSITIVE_INFINITY
  for (let r = 0; r < 7; r++) {
    const from = performance.now()
    for (let i = 0; i < rounds; i++) set.evaluate({ action: given[i % given.length]!, now: NOON })
    best = Math.min(best, ((performance.now() - from) / rounds) * 1000)
  }
  return best
}
const print = (what: string, us: number, beside = '') => console.log(`${what.padEnd(52)} ${us.toFixed(3)} µs ${beside}`)

const guide = setOf(compiled(guideFiles()))
const readings = [
  action({ sensor_type: 'temperature', value: 92, floor: 3, device_id: 'd-1' }),
  action({ sensor_type: 'temperature', value: 21, floor: 3, device_id: 'd-2' }),
  action({ sensor_type: 'humidity', value: 40, floor: 2, device_id: 'd-3' }),
  action({ sensor_type: 'energy', value: 7, floor: 1, device_id: 'd-4' }),
  action({ firmware: '2.1', signed: true }, { action_type: 'firmware_update' }),
  action({ other: true }, { action_type: 'unknown' }),
]
print('14 guide rules, six kinds of action', micros(guide, readings, 200_000))
print('14 guide rules, one that meets all up to "allow"', micros(guide, [readings[5]!], 200_000))

const shapes: { [name: string]: (i: number) => string } = {
  type: (i) => `{ all: [{ field: action.tenant, eq: hq }, { field: action.action_type, eq: t-${i} }] }`,
  tenant: (i) => `{ all: [{ field: action.tenant, eq: tenant-${i} }, { field: action.payload.value, gt: 5 }] }`,
  'tenant × type': (i) =>
    `{ all: [{ field: action.tenant, eq: tenant-${i % 100} }, { field: action.action_type, eq: t-${Math.floor(i / 100)} }] }`,
  'value of a payload field': (i) =>
    `{ all: [{ field: action.tenant, eq: hq }, { field: action.payload.device, eq: d-${i} }] }`,
  'name of a payload field': (i) =>
    `{ all: [{ field: action.tenant, eq: hq }, { field: action.payload.f${i}, eq: 1 }] }`,
}
for (const [name, shape] of Object.entries(shapes)) {
  const of = (n: number) => {
    const rules = Array.from(
      { length: n },
      (_, i) => `  - { name: r${i}, priority: ${i % 50}, condition: ${shape(i)}, action: { type: suppress } }`,
    )
    return setOf(compiled(`rules:\n${rules.join('\n')}\n`))
  }
  const hit = action(
    { value: 9, device: 'd-7', f7: 1 },
    { tenant: name.startsWith('tenant') ? 'tenant-7' : 'hq', action_type: 't-0' },
  )
  const seven = name === 'type' ? { ...hit, action_type: 't-7' } : hit
  const miss = action(
    { value: 9, device: 'x' },
    { tenant: name.startsWith('tenant') ? 'tenant-7' : 'hq', action_type: 'none' },
  )
  const few = of(10)
  const from = performance.now()
  const many = of(10_000)
  const load = performance.now() - from
  for (const [what, a] of [
    ['hit', seven],
    ['miss', miss],
  ] as const) {
    const ten = micros(few, [a], 200_000)
    const tenThousand = micros(many, [a], 200_000)
    print(`rules differ in ${name}, ${what}: 10`, ten)
    print(
      `rules differ in ${name}, ${what}: 10,000`,
      tenThousand,
      `ratio ${(tenThousand / ten).toFixed(2)}; loaded in ${load.toFixed(0)} ms`,
    )
  }
}
