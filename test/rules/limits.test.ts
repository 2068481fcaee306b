import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import type { RunLimit } from '../../src/core/plan.ts'
import { type Counted, countRun, type DispatchedBy, entityFieldProblem, type HotRules } from '../../src/rules/limits.ts'
import type { Draft } from '../../src/rules/stage.ts'
import { action, hotRules, NOON } from './build.ts'

const plain: Counted = { name: 'r', runs: 'always', maxExecutions: undefined, chain: undefined }
const own = { count: 5, windowMs: 60_000, window: 'PT1M' }
const nothing: DispatchedBy = () => ({ types: new Set(), lockBy: undefined })

/** What one run of the rule is counted against. */
function counted(
  rule: Partial<Counted>,
  { hot = {}, dispatched = nothing, payload = {}, type = 'a', internal = false, since = '' }: Given = {},
): readonly RunLimit[] {
  const draft: Draft = {
    action: action(payload, { action_type: type }),
    now: NOON,
    matched: [],
    guards: [],
    limits: [],
    effects: [],
    warnings: [],
    internal,
    here: undefined,
    notes: undefined,
    failure: undefined,
  }
  countRun({ ...plain, ...rule }, { ...hotRules, ...hot }, dispatched)?.(draft, since)
  return draft.limits
}
interface Given {
  readonly hot?: Partial<HotRules>
  readonly dispatched?: DispatchedBy
  readonly payload?: Parameters<typeof action>[0]
  readonly type?: string
  readonly internal?: boolean
  readonly since?: string
}
const told = (limits: readonly RunLimit[]) => limits.map((l) => [l.limit, l.mode])

describe('what a run is counted against', () => {
  it('by default a limit that warns; and one that switches off, for what came from the gateway itself', () => {
    expect(told(counted({}))).toEqual([['rule_limit', 'warn']])
    expect(told(counted({}, { internal: true }))).toEqual([
      ['rule_limit', 'warn'],
      ['internal_limit', 'disable'],
    ])
  })
  it("the rule's own instead, where it has one, and that switches off", () => {
    expect(counted({ maxExecutions: own }, { internal: true, hot: { mode: 'off' } })).toMatchObject([
      { rule: 'r', limit: 'max_executions', count: 5, windowMs: 60_000, window: 'PT1M', mode: 'disable' },
    ])
  })
  it('nothing where the general limits are off, each for itself', () => {
    expect(counted({}, { internal: true, hot: { mode: 'off', internalMode: 'off' } })).toEqual([])
    expect(countRun(plain, { ...hotRules, mode: 'off', internalMode: 'off' }, nothing)).toBeUndefined()
    expect(told(counted({}, { internal: true, hot: { mode: 'off' } }))).toEqual([['internal_limit', 'disable']])
    expect(told(counted({}, { internal: true, hot: { internalMode: 'warn' } })).at(-1)).toEqual([
      'internal_limit',
      'warn',
    ])
  })
  it('what only asks or changes has no general limit, and what turns away none at all', () => {
    expect(counted({ runs: 'own_limit' }, { internal: true })).toEqual([])
    expect(told(counted({ runs: 'own_limit', maxExecutions: own }))).toEqual([['max_executions', 'disable']])
    expect(countRun({ ...plain, runs: 'never', maxExecutions: own }, hotRules, nothing)).toBeUndefined()
    expect(countRun({ ...plain, runs: 'never' }, hotRules, nothing)).toBeUndefined()
  })
  it('each time it is switched on, in a window of its own; a changed count in the same', () => {
    const id = (given: Given) => counted({}, given)[0]!.id
    expect(id({ since: 'x' })).not.toBe(id({}))
    expect(id({ since: 'x' })).toBe(id({ since: 'x' }))
    expect(id({ hot: { ruleLimit: { ...hotRules.ruleLimit, count: 7 } } })).toBe(id({}))
    expect(id({ hot: { ruleLimit: { count: 100, windowMs: 1000, window: 'PT1S' } } })).not.toBe(id({}))
  })
})

describe('a rule whose chain dispatches the type that starts it', () => {
  const gives =
    (types: readonly string[] | 'any', lockBy?: string): DispatchedBy =>
    (chain) => {
      expect(chain).toBe('c')
      return { types: types === 'any' ? types : new Set(types), lockBy }
    }
  const entity = (dispatched: DispatchedBy, payload: Given['payload'], type = 'a') =>
    counted({ chain: 'c' }, { dispatched, payload: payload ?? {}, type }).filter((l) => l.limit === 'entity_limit')

  it('is counted per entity as well', () => {
    expect(entity(gives(['b', 'a']), { device_id: 'd1' })).toMatchObject([
      { rule: 'r', count: 50, window: 'PT1M', mode: 'warn' },
    ])
    expect(entity(gives('any'), { device_id: 'd1' })).toHaveLength(1)
    expect(entity(gives(['b']), { device_id: 'd1' })).toEqual([])
    expect(entity(gives([]), { device_id: 'd1' })).toEqual([])
    expect(counted({ chain: 'c' }, { dispatched: gives('any'), hot: { mode: 'off' }, payload: { id: 1 } })).toEqual([])
    expect(
      told(counted({ chain: 'c' }, { dispatched: gives('any'), hot: { mode: 'disable' }, payload: { id: 1 } })),
    ).toEqual([
      ['rule_limit', 'disable'],
      ['entity_limit', 'disable'],
    ])
  })
  it("the entity is the value of the chain's lock, else of the first field that is there", () => {
    const id = (lockBy: string | undefined, payload: Given['payload']) => entity(gives('any', lockBy), payload)[0]?.id
    const full = { room: 'r1', device_id: 'd1', entity_id: 'e1', id: 'i1' }
    expect(id(undefined, full)).toBe(id(undefined, { device_id: 'd1' }))
    expect(id('payload.room', full)).toBe(id('payload.room', { room: 'r1' }))
    expect(id('payload.room', full)).not.toBe(id(undefined, full))
    expect(id(undefined, { id: 'i1', device_id: null })).toBe(id(undefined, { id: 'i1' }))
    expect(id('payload.gone', full)).toBe(id(undefined, full))
    expect(id('no field at all', full)).toBe(id(undefined, full))
    expect(id(undefined, { other: 1 })).toBeUndefined()
  })
  it('PITFALLS 16: entities of different values never share a window, of whatever kind and length', () => {
    const value = fc.oneof(
      fc.string(),
      fc.integer(),
      fc.boolean(),
      fc.constantFrom('1', ':', 's1', '#', 'x'.repeat(600)),
    )
    const id = (v: string | number | boolean) => entity(gives('any'), { device_id: v })[0]!.id
    fc.assert(
      fc.property(value, value, (a, b) => {
        expect(id(a) === id(b)).toBe(a === b)
        expect(id(a).length).toBeLessThan(700)
      }),
    )
  })
})

describe('a field of entities', () => {
  it('is one of the action', () => {
    for (const f of ['payload.device_id', 'payload.a.b', 'action.payload.x', 'metadata.k', 'action.fingerprint'])
      expect(entityFieldProblem(f)).toBeUndefined()
    expect(entityFieldProblem('device_id')).toMatch(/is not a field/)
    expect(entityFieldProblem('time.hour')).toMatch(/not a field of the action/)
    expect(entityFieldProblem('action.paylod.x')).toMatch(/did you mean "payload"/)
  })
})
