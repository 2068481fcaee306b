import { sha256 } from '../../core/ids.ts'
import { canonicalJson, type Json, pathOf } from '../../core/json.ts'
import { compileTemplate } from '../../core/template.ts'
import type { Chain, ChainStep, GroupPlan, OnFailure } from '../model/compiled.ts'
import {
  type BranchTests,
  type ChainDefinition,
  type Compensation,
  type Group,
  gotoTarget,
  innerSteps,
  isGraph,
  type RetryPolicy,
  type StepDefinition,
} from '../model/definition.ts'
import { failed, opening } from '../model/outcomes.ts'
import type { Entered, StepContext } from '../model/step-kind.ts'
import { kindOf } from '../steps/index.ts'
import { type Sends, sends } from '../steps/provider.ts'

/** Equal content, equal version, whatever the order of keys. */
export const versionOf = (d: ChainDefinition): string =>
  sha256(canonicalJson(JSON.parse(JSON.stringify(d)) as Json)).slice(0, 16)

const UNDO_RETRY: RetryPolicy = { max_attempts: 5, backoff: 'exponential', initial_ms: 1000, max_ms: 60_000 }
/** Members of a `for_each` at once, where its author did not say. */
const FOR_EACH_AT_ONCE = 10

/** Of a definition that was checked; throws when a branch of it no longer compiles here. */
export function compileChain(definition: ChainDefinition, tests: BranchTests): Chain {
  const graph = isGraph(definition)
  const steps = new Map<string, ChainStep>()
  definition.steps.forEach((step, i) => {
    const last = graph || kindOf(step).ends !== undefined
    const next = last ? undefined : (step.default_next ?? definition.steps[i + 1]?.name)
    steps.set(step.name, compileStep(definition, step, next, tests))
  })
  const first = graph
    ? definition.steps.filter((s) => (s.needs ?? []).length === 0).map((s) => s.name)
    : [definition.steps[0]!.name]
  return {
    name: definition.name,
    version: versionOf(definition),
    definition,
    graph,
    undoes: definition.steps.some((s) => s.compensate !== undefined || innerSteps(s).some((i) => i.step.compensate)),
    first,
    steps,
    step(key) {
      const dot = key.indexOf('.')
      const top = steps.get(dot < 0 ? key : key.slice(0, dot))
      const found = top && dot >= 0 ? top.group?.member(top.group.indexOf(key)).step : top
      if (!found) throw new Error(`chain "${definition.name}" has no step "${key}"`)
      return found
    },
  }
}

function compileStep(
  chain: ChainDefinition,
  step: StepDefinition,
  next: string | undefined,
  tests: BranchTests,
): ChainStep {
  const kind = kindOf(step)
  const { cache_ttl_seconds: ttl, compensate } = step
  return {
    name: step.name,
    definition: step,
    kind,
    does: bounded(kind.prepare(step, tests)),
    branches: (step.branches ?? []).map((b) => {
      const test = tests.compile(b.operator, b.value)
      if (typeof test === 'string') throw new Error(`chain "${chain.name}", step "${step.name}": ${test}`)
      return { path: pathOf(b.field), test, target: b.target }
    }),
    next,
    judgesFailure: step.default_next !== undefined || (step.branches ?? []).length > 0,
    onFailure: onFailureOf(step),
    retry: step.retry,
    undo: compensate && {
      definition: compensate,
      retry: compensate.retry ?? UNDO_RETRY,
      does: bounded(sends(undoing(compensate))),
    },
    cache:
      ttl === undefined
        ? undefined
        : { ttlMs: ttl * 1000, key: step.cache_key === undefined ? undefined : compileTemplate(step.cache_key) },
    group: groupOf(chain, step, tests),
    needs: step.needs ?? [],
  }
}

/**
 * What a template makes may be longer than a text can be, or than anybody should put together. That fails the step, like all that is
 * too much to keep; thrown, it would take the end of the step before it with it, and the execution would stand until its time is over.
 */
function bounded<A extends readonly [StepContext, ...unknown[]], B extends { enter(...at: A): Entered }>(does: B): B {
  const enter = (...at: A): Entered => {
    try {
      return does.enter(...at)
    } catch (e) {
      if (!(e instanceof RangeError)) throw e
      return failed(opening(at[0]), { code: 'too_much_data', message: 'its templates make more than can be sent' })
    }
  }
  return { ...does, enter }
}

const undoing = (c: Compensation): Sends => ({
  provider: c.provider,
  action_type: c.action_type,
  payload: c.payload_template === undefined ? undefined : compileTemplate(c.payload_template),
  nonce: 'undo',
})

function onFailureOf(step: StepDefinition): OnFailure {
  const said = step.on_failure ?? (step.allow_failure === true ? 'continue' : 'abort')
  const target = gotoTarget(said)
  if (target !== undefined) return { kind: 'goto', target }
  return { kind: said === 'continue' || said === 'dead_letter' ? said : 'abort' }
}

function groupOf(chain: ChainDefinition, step: StepDefinition, tests: BranchTests): GroupPlan | undefined {
  const inner = innerSteps(step).map(({ step: s }) => compileStep(chain, s, undefined, tests))
  if (inner.length === 0) return undefined
  const said: Group = 'parallel' in step ? step.parallel : 'for_each' in step ? step.for_each : {}
  const { join = 'all', on_failure: how, max_concurrency: most } = said
  const plan = {
    join: join === 'all' ? undefined : join === 'any' ? 1 : join,
    bestEffort: how === 'best_effort',
  }
  const tail = (key: string): string => key.slice(key.indexOf('.') + 1)
  if ('for_each' in step)
    return {
      ...plan,
      atOnce: most ?? FOR_EACH_AT_ONCE,
      member: (index) => ({ step: inner[0]!, name: String(index) }),
      indexOf: (key) => Number(tail(key)),
    }
  const names = inner.map((s) => s.name)
  return {
    ...plan,
    atOnce: most ?? inner.length,
    member: (index) => ({ step: inner[index]!, name: names[index]! }),
    indexOf: (key) => names.indexOf(tail(key)),
  }
}
