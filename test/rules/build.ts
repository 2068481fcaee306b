import { readFileSync } from 'node:fs'
import type { Action } from '../../src/core/action.ts'
import { type Finding, showFinding } from '../../src/core/errors.ts'
import type { JsonObject } from '../../src/core/json.ts'
import type { Plan, Resume, Ruleset, TraceEntry } from '../../src/core/plan.ts'
import { type CompileContext, compileRules, type Rule, type RuleFile } from '../../src/rules/compile.ts'
import type { HotRules } from '../../src/rules/limits.ts'
import { readyRules, rulesetOf } from '../../src/rules/ruleset.ts'

/** A Monday, 12:00 UTC. */
export const NOON = Date.UTC(2026, 0, 5, 12, 0, 0)

export const context: CompileContext = {
  names: {
    providers: ['alert-fanout', 'event-bus', 'metrics-queue', 'dead-letter-queue', 'local-fallback', 'log'],
    chains: ['telemetry-processing', 'critical-alert'],
    loops: { groupFlush: true, scheduled: true },
  },
  timezone: 'UTC',
  envNames: ['STAGE', 'UNSET'],
  environment: { STAGE: 'test' },
  redact: (v) => v,
}

/** The general limits as they are without a word in the configuration. */
export const hotRules: HotRules = {
  mode: 'warn',
  internalMode: 'disable',
  ruleLimit: { count: 100, windowMs: 30_000, window: 'PT30S' },
  entityLimit: { count: 50, windowMs: 60_000, window: 'PT1M' },
  internalLimit: { count: 20, windowMs: 300_000, window: 'PT5M' },
  entityFields: ['payload.device_id', 'payload.entity_id', 'payload.id'],
}

export const fixture = (path: string): string =>
  readFileSync(new URL(`../fixtures/rules/${path}`, import.meta.url), 'utf8')
export const guideFiles = (): RuleFile[] =>
  ['processing', 'routing', 'safety'].map((n) => ({ file: `rules/${n}.yaml`, text: fixture(`good/guide-${n}.yaml`) }))

export function findings(text: string, more: Partial<CompileContext> = {}): readonly Finding[] {
  return compileRules([{ file: 'rules.yaml', text }], { ...context, ...more }).findings
}

export function compiled(files: string | readonly RuleFile[], more: Partial<CompileContext> = {}): readonly Rule[] {
  const given = typeof files === 'string' ? [{ file: 'rules.yaml', text: files }] : files
  const { rules, findings: found } = compileRules(given, { ...context, ...more })
  const errors = found.filter((f) => f.severity === 'error')
  if (errors.length > 0) throw new Error(errors.map(showFinding).join('\n'))
  return rules
}

export function setOf(rules: readonly Rule[], index?: 'always' | 'never', defaultProvider?: string): Ruleset {
  const ready = readyRules(rules, { isEnabled: (r) => r.enabled }, index)
  return rulesetOf(ready, { version: 'v', loadedAt: NOON, defaultProvider })
}
export const ruleset = (files: string | readonly RuleFile[], more: Partial<CompileContext> = {}): Ruleset =>
  setOf(compiled(files, more))

export function action(payload: JsonObject = {}, more: Partial<Action> = {}): Action {
  return {
    id: 'a-1',
    namespace: 'iot',
    tenant: 'smartbuilding-hq',
    provider: 'log',
    action_type: 'sensor_reading',
    payload,
    metadata: {},
    created_at: '2026-01-05T12:00:00Z',
    ...more,
  }
}

export const evaluate = (rules: string, a: Action = action(), more: { now?: number; resume?: Resume } = {}): Plan =>
  ruleset(rules).evaluate({ action: a, now: NOON, ...more })

export function traced(set: Ruleset, a: Action, now = NOON): { plan: Plan; trace: TraceEntry[] } {
  const trace: TraceEntry[] = []
  const plan = set.evaluate({ action: a, now, trace })
  return { plan, trace }
}

/** Whether one condition, written in flow style, holds. */
export function holds(
  condition: string,
  a: Action = action(),
  now = NOON,
  more: Partial<CompileContext> = {},
): boolean {
  const text = `rules: [{ name: r, condition: ${condition}, action: { type: suppress } }]`
  return ruleset(text, more).evaluate({ action: a, now }).end.kind === 'suppress'
}
