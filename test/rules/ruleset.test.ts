import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import type { Action } from '../../src/core/action.ts'
import type { JsonObject } from '../../src/core/json.ts'
import { type Resume, resumeBehind } from '../../src/core/plan.ts'
import { compileRedact } from '../../src/core/redact.ts'
import { action, compiled, evaluate, NOON, ruleset, setOf, traced } from './build.ts'

const rule = (name: string, more: JsonObject): JsonObject => ({ name, ...more })
const file = (rules: readonly JsonObject[]) => JSON.stringify({ rules })

describe('order', () => {
  it('by priority, then file, then position, whatever the order of loading', () => {
    const text = (names: string[]) =>
      file(
        names.map((n) =>
          rule(n, {
            priority: n.startsWith('low') ? 9 : 1,
            action: { type: 'throttle', max_count: 1, window_seconds: 1 },
          }),
        ),
      )
    const set = ruleset([
      { file: 'a.yaml', text: text(['low-a', 'a1', 'a2']) },
      { file: 'b.yaml', text: text(['b1', 'low-b']) },
    ])
    expect(set.evaluate({ action: action(), now: NOON }).matched).toEqual(['a1', 'a2', 'b1', 'low-a', 'low-b'])
  })
  it('without rules, and without a provider: the default, or nobody', () => {
    const { provider: _, ...nobody } = action()
    const end = (d?: string) => setOf([], undefined, d).evaluate({ action: nobody, now: NOON }).end
    expect(end('log')).toEqual({ kind: 'deliver', provider: 'log', rerouted: false })
    expect(end()).toEqual({ kind: 'deliver', provider: undefined, rerouted: false })
  })
  it('a plan that only turns the action away carries no guards; one with side effects does', () => {
    const list = (copy: boolean) =>
      file([
        rule('t', { action: { type: 'throttle', max_count: 1, window_seconds: 1 } }),
        rule('c', { enabled: copy, action: { type: 'copy', target_provider: 'log' } }),
        rule('d', { action: { type: 'deny' } }),
      ])
    expect(evaluate(list(false)).guards).toEqual([])
    expect(evaluate(list(true)).guards).toHaveLength(1)
  })
  it('a rule that is not enabled is not asked', () => {
    expect(evaluate(file([rule('a', { enabled: false, action: { type: 'deny' } })])).end.kind).toBe('deliver')
  })
})

describe('a released action, PITFALLS 17 and 24: it never meets its holder again', () => {
  const held = action({ kind: 'x' })
  const holds = { type: 'schedule', delay_seconds: 60 }
  const rules = file([
    rule('before', { priority: 5, action: { type: 'throttle', max_count: 1, window_seconds: 1 } }),
    rule('holder', { priority: 5, action: holds }),
    rule('beside', { priority: 5, action: { type: 'throttle', max_count: 1, window_seconds: 1 } }),
    rule('early', { priority: 1, action: { type: 'throttle', max_count: 1, window_seconds: 1 } }),
    rule('late', { priority: 9, action: { type: 'allow' } }),
  ])
  const first = evaluate(rules, held)
  if (first.end.kind !== 'schedule') throw new Error('it was not held')
  const resume = resumeBehind(first.end, first.matched)

  it('the holder names itself, its priority and what stood before it', () => {
    expect(first.end).toMatchObject({ kind: 'schedule', rule: 'holder', priority: 5, before: ['before'] })
    expect(first.matched).toEqual(['early', 'before', 'holder'])
  })
  it('continues behind the holder; matched goes on where it was', () => {
    const p = evaluate(rules, held, { resume })
    expect(p.matched).toEqual(['early', 'before', 'holder', 'beside', 'late'])
    expect(p.guards.map((g) => g.rule)).toEqual(['beside'])
    expect(p.end).toMatchObject({ kind: 'deliver', rule: 'late' })
  })
  it('what stood before it and did not match then is not asked, though it would match now', () => {
    const at = (second: number) => Date.UTC(2026, 0, 5, 12, 0, second)
    const timed = file([
      rule('not-yet', { priority: 5, condition: { field: 'time.second', gte: 30 }, action: { type: 'deny' } }),
      rule('holder', { priority: 5, action: { type: 'schedule', delay_seconds: 30 } }),
      rule('behind', { priority: 5, condition: { field: 'time.second', gte: 30 }, action: { type: 'allow' } }),
    ])
    const { end, matched } = evaluate(timed, held, { now: at(0) })
    if (end.kind !== 'schedule') throw new Error('it was not held')
    const { rule: name, priority, before } = end
    const p = evaluate(timed, held, { now: at(30), resume: { rule: name, priority, before, matched } })
    expect(p.end).toMatchObject({ kind: 'deliver', rule: 'behind' })
    expect(evaluate(timed, held, { now: at(30) }).end).toMatchObject({ kind: 'deny' })
  })
  it('moving, renaming or deleting the holder changes nothing', () => {
    const moved = rules.replace('"holder","priority":5', '"holder","priority":8')
    const renamed = rules.replace('"holder"', '"renamed"')
    const other = renamed.replace('delay_seconds":', 'delay_seconds":1')
    const deleted = file([rule('late', { priority: 9, action: { type: 'allow' } })])
    expect(evaluate(moved, held, { resume }).end).toMatchObject({ kind: 'deliver', rule: 'late' })
    expect(evaluate(deleted, held, { resume }).end).toMatchObject({ kind: 'deliver', rule: 'late' })
    expect(evaluate(renamed, held, { resume })).toMatchObject({ end: { kind: 'deliver', rule: 'late' } })
    // One that does something else is another rule, and so is one that stands beside the holder and is like it.
    expect(evaluate(other, held, { resume }).end).toMatchObject({ kind: 'schedule', rule: 'renamed' })
    const twins = file(['holder', 'twin'].map((name) => rule(name, { priority: 5, action: holds })))
    expect(evaluate(twins, held, { resume }).end).toMatchObject({ kind: 'schedule', rule: 'twin' })
    // As it was kept before there was a content.
    const { content: _, ...old } = resume
    expect(evaluate(renamed, held, { resume: old }).end).toMatchObject({ kind: 'schedule', rule: 'renamed' })
  })
  it('a rule that had matched is not asked again, wherever it has moved', () => {
    const moved = rules.replace('"early","priority":1', '"early","priority":7')
    expect(evaluate(moved, held, { resume }).guards.map((g) => g.rule)).toEqual(['beside'])
  })
})

it('rules by very many fields: one by metadata is found among those by the payload, whatever key that has', () => {
  const eq = (field: string) => ({ condition: { field, eq: 'x' }, action: { type: 'deny' } })
  const many = Array.from({ length: 200 }, (_, i) => rule(`p${i}`, eq(`action.payload.f${i}`)))
  const set = ruleset(file([...many, rule('m', eq('action.metadata.f7')), rule('t', eq('action.status'))]))
  const asked = (a: Partial<Action>) => set.evaluate({ action: action({}, a), now: NOON }).matched
  expect(asked({ metadata: { f7: 'x' } })).toEqual(['m'])
  expect(asked({ metadata: { f7: 'x' }, payload: { f9: 'x' } })).toEqual(['p9'])
  expect(asked({ payload: { f7: 'x' } })).toEqual(['p7'])
  expect(asked({ status: 'x' })).toEqual(['t'])
})

describe('trace', () => {
  const set = ruleset(
    file([
      rule('off', { enabled: false, action: { type: 'deny' } }),
      rule('hot', {
        condition: {
          all: [
            { field: 'action.tenant', eq: 'smartbuilding-hq' },
            { field: 'action.payload.value', gt: 85 },
          ],
        },
        action: { type: 'deny' },
      }),
      rule('cel', { condition: { cel: 'action.payload.value > 5' }, action: { type: 'deny' } }),
      rule('any', {
        condition: {
          any: [{ field: 'action.payload.value', exists: false }, { not: { field: 'action.payload.value', eq: 'x' } }],
        },
        action: { type: 'allow' },
      }),
      rule('never', { action: { type: 'deny' } }),
    ]),
  )
  it('tells of each rule why, with the values seen, and ends where the evaluation does', () => {
    const { trace } = traced(set, action({ value: '90' }))
    expect(trace).toEqual([
      { rule: 'off', priority: 0, matched: false, why: 'switched off' },
      { rule: 'hot', priority: 0, matched: false, why: 'action.payload.value gt 85, saw "90"', type_mismatch: true },
      {
        rule: 'cel',
        priority: 0,
        matched: false,
        why: expect.stringContaining('error'),
        error: expect.stringContaining('no such overload'),
      },
      {
        rule: 'any',
        priority: 0,
        matched: true,
        why: 'not (action.payload.value eq "x", saw "90")',
        effect: 'allow; later rules are not asked',
      },
    ])
  })
  it('shows values redacted', () => {
    const redact = <T>(v: T): T => JSON.parse(JSON.stringify(v).replace('secret', '[REDACTED]'))
    const text = file([
      rule('a', { condition: { field: 'action.payload.a.token', eq: 'x' }, action: { type: 'deny' } }),
    ])
    const { trace } = traced(ruleset(text, { redact }), action({ a: { token: 'secret' } }))
    expect(trace[0]?.why).toBe('action.payload.a.token eq "x", saw "[REDACTED]"')
  })
  it('shows what came from the environment as it is written, and nothing that a hidden field is compared with', () => {
    const environment = { TOKEN: 's3cr3t', LIMIT: '85' }
    const redact = compileRedact({ enabled: true, fields: ['pin'], placeholder: '[REDACTED]' })
    const why = (condition: JsonObject) =>
      traced(
        ruleset(file([rule('a', { condition, action: { type: 'deny' } })]), { environment, redact }),
        action({ token: 's3cr3t', value: 90, pin: '1234' }),
      ).trace[0]?.why
    expect(why({ field: 'action.payload.token', ne: '${TOKEN}' })).toContain('token ne "${TOKEN}", saw')
    expect(why({ field: 'action.payload.gone', in: ['x', 'Bearer ${TOKEN}'] })).toBe(
      'action.payload.gone in ["x","Bearer ${TOKEN}"], saw nothing',
    )
    expect(why({ field: 'action.payload.gone', eq: { a: '${TOKEN}' } })).toContain('eq {"a":"${TOKEN}"}')
    expect(why({ field: 'action.payload.value', gt: '${LIMIT}' })).toBe('action.payload.value gt 85, saw 90')
    expect(why({ field: 'action.payload.pin', eq: '1234' })).toBe(
      'action.payload.pin eq "[REDACTED]", saw "[REDACTED]"',
    )
    expect(why({ field: 'action.payload.pin', exists: true })).toBe('action.payload.pin exists true, saw "[REDACTED]"')
  })
})

const FIELDS = ['tenant', 'action_type', 'payload.a', 'payload.b', 'payload.c.d', 'metadata.m'] as const
const value = fc.constantFrom<(string | number | boolean)[]>('x', 'y', 'z', 1, 2, true)
const leaf = fc.oneof(
  fc.tuple(fc.constantFrom(...FIELDS), value).map(([f, v]) => ({ field: `action.${f}`, eq: v })),
  fc
    .tuple(fc.constantFrom(...FIELDS), fc.array(value, { minLength: 1, maxLength: 2 }))
    .map(([f, v]) => ({ field: `action.${f}`, in: v })),
  fc.constantFrom(...FIELDS).map((f) => ({ field: `action.${f}`, eq: null })),
  fc.constant({ field: 'action.payload.a', gt: 1 }),
  fc.constant({ cel: 'action.payload.a > 1' }),
)
const tree = fc.letrec<{ tree: JsonObject }>((tie) => ({
  tree: fc.oneof(
    { maxDepth: 3 },
    leaf,
    fc.array(tie('tree'), { minLength: 1, maxLength: 3 }).map((all): JsonObject => ({ all })),
    fc.array(tie('tree'), { minLength: 1, maxLength: 3 }).map((any): JsonObject => ({ any })),
    tie('tree').map((not): JsonObject => ({ not })),
  ),
})).tree
const does = fc.oneof(
  fc.constantFrom<JsonObject[]>(
    { type: 'suppress' },
    { type: 'throttle', max_count: 1, window_seconds: 1 },
    { type: 'copy', target_provider: 'log' },
    { type: 'schedule', delay_seconds: 5 },
  ),
  value.map((v): JsonObject => ({ type: 'modify', changes: { a: v } })),
  value.map((v): JsonObject => ({ type: 'modify', changes: { c: { d: v } }, set: { 'action.metadata.m': 'x' } })),
  fc.constant<JsonObject>({ type: 'modify', changes: { a: null }, set: { 'action.action_type': 'y' } }),
)
const rules = fc
  .array(fc.tuple(tree, does, fc.integer({ min: 0, max: 3 }), fc.boolean()), { minLength: 1, maxLength: 24 })
  .map((list) =>
    list.map(([condition, act, priority, on], i) =>
      rule(`r${i}`, { priority, enabled: on || i % 4 > 0, condition, action: act }),
    ),
  )
const given = fc.record({
  tenant: fc.constantFrom('x', 'y'),
  action_type: fc.constantFrom('x', 'z'),
  payload: fc.record({ a: value, b: value, c: fc.record({ d: value }) }, { requiredKeys: [] }),
  metadata: fc.constantFrom<{ [k: string]: string }[]>({}, { m: 'x' }),
})

describe('PITFALLS 8 and 9: one evaluator', () => {
  it('index, linear scan and trace give the same plan, whatever the rules change on the way', () => {
    fc.assert(
      fc.property(rules, given, fc.boolean(), (list, a, resumed) => {
        const all = compiled(file(list))
        const resume: Resume | undefined = resumed
          ? { rule: 'r1', priority: 1, before: ['r0'], matched: ['r2'] }
          : undefined
        const input = { action: action(a.payload, a), now: NOON, ...(resume && { resume }) }
        const linear = setOf(all, 'never').evaluate(input)
        expect(setOf(all, 'always').evaluate(input)).toEqual(linear)
        expect(setOf(all, 'always').evaluate({ ...input, trace: [] })).toEqual(linear)
      }),
      { numRuns: 200, seed: 1 },
    )
  })
  it('evaluation is pure: twice is the same, and the action is not touched', () => {
    fc.assert(
      fc.property(rules, given, (list, a) => {
        const set = setOf(compiled(file(list)))
        const frozen = Object.freeze(action(Object.freeze({ ...a.payload }), a))
        expect(set.evaluate({ action: frozen, now: NOON })).toEqual(set.evaluate({ action: frozen, now: NOON }))
      }),
      { numRuns: 200, seed: 1 },
    )
  })
  it('rules with many field names are found by the payload’s keys', () => {
    const list = Array.from({ length: 200 }, (_, i) =>
      rule(`r${i}`, {
        condition: { field: `action.payload.f${i}`, eq: 1 },
        action: { type: 'throttle', max_count: 1, window_seconds: 1 },
      }),
    )
    expect(ruleset(file(list)).evaluate({ action: action({ f150: 1, f7: 1, f8: 2 }), now: NOON }).matched).toEqual([
      'r7',
      'r150',
    ])
  })
  it('a rule asks only once, and few rules are asked of many', () => {
    let asked = 0
    const all = compiled(
      file(
        Array.from({ length: 2000 }, (_, i) =>
          rule(`r${i}`, {
            condition: {
              all: [
                { field: 'action.tenant', eq: 'hq' },
                { field: 'action.payload.id', eq: i },
              ],
            },
            action: { type: 'suppress' },
          }),
        ),
      ),
    ).map((r) => ({
      ...r,
      test: (d: Parameters<typeof r.test>[0]) => {
        asked++
        return r.test(d)
      },
    }))
    setOf(all).evaluate({ action: action({ id: 1234 }, { tenant: 'hq' }), now: NOON })
    expect(asked).toBe(1)
  })
})
