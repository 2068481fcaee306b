import { actionFields } from '../../core/action.ts'
import { didYouMean } from '../../core/nearest.ts'
import type { StepDefinition } from '../model/definition.ts'
import { gotoTarget, innerSteps, type Path, type RetryPolicy, type Say } from '../model/definition.ts'
import { notSent } from '../model/outcomes.ts'
import { kindOf } from '../steps/index.ts'

const ON_FAILURE = ['abort', 'continue', 'dead_letter']

/** What keys say together: policies that contradict each other, or that could never do what they promise. */
export function checkPolicies(
  chain: { readonly steps: readonly (StepDefinition | undefined)[]; readonly lock_by: string | undefined },
  providers: ReadonlySet<string>,
  at: Path,
  say: Say,
): void {
  if (chain.lock_by !== undefined) checkLock(chain.lock_by, [...at, 'lock_by'], say)
  chain.steps.forEach((step, i) => {
    if (!step) return
    const here = [...at, 'steps', i]
    checkStep(step, providers, here, say)
    for (const inner of innerSteps(step)) checkStep(inner.step, providers, [...here, ...inner.path], say)
  })
}

function checkStep(step: StepDefinition, providers: ReadonlySet<string>, at: Path, say: Say): void {
  const wrong = (path: Path, message: string) => say([...at, ...path], message)
  const kind = kindOf(step)
  if ('dispatch' in step) checkType(step.dispatch.action_type, ['dispatch', 'action_type'], wrong)
  const chosen = (['branches', 'default_next'] as const).filter((k) => (step[k]?.length ?? 0) > 0)
  if (kind.chooses)
    for (const key of chosen) wrong([key], `a ${kind.kind} step says itself where to go: use then and else`)
  // What ends the execution has none of these, and says so itself.
  if (kind.ends) return
  checkFailure(step, chosen, wrong)
  checkRetry(step.retry, ['retry'], wrong)
  if (step.cache_key !== undefined && step.cache_ttl_seconds === undefined)
    wrong(['cache_key'], 'cache_key needs cache_ttl_seconds beside it')
  // Without a key results are told apart by what is sent; where nothing is, each would be the answer to all.
  const sends = 'provider' in step || 'dispatch' in step
  if (step.cache_ttl_seconds !== undefined && step.cache_key === undefined && !sends)
    wrong(['cache_ttl_seconds'], `a ${kind.kind} step sends nothing to tell results apart by: it needs a cache_key`)
  const { compensate } = step
  if (!compensate) return
  if (!providers.has(compensate.provider))
    wrong(
      ['compensate', 'provider'],
      `there is no provider "${compensate.provider}"${didYouMean(compensate.provider, providers)}`,
    )
  const unsent = notSent(compensate.payload_template)
  if (unsent !== undefined) wrong(['compensate', 'payload_template'], unsent)
  checkRetry(compensate.retry, ['compensate', 'retry'], wrong)
}

type Wrong = (path: Path, message: string) => void

/** It is sent as it is written, and what a chain gives back to the rules is known by it before anything runs. */
function checkType(type: string, path: Path, wrong: Wrong): void {
  if (type.includes('{{')) wrong(path, 'action_type is sent as it is written: a template has no place in it')
}

function checkFailure(step: StepDefinition, chosen: readonly string[], wrong: Wrong): void {
  const { on_failure: said, allow_failure: allowed } = step
  if (said !== undefined && !ON_FAILURE.includes(said) && gotoTarget(said) === undefined)
    wrong(['on_failure'], `on_failure is ${ON_FAILURE.join(', ')} or goto:<step>${didYouMean(said, ON_FAILURE)}`)
  if (allowed !== undefined && said !== undefined && allowed !== (said === 'continue'))
    wrong(['allow_failure'], `allow_failure = ${allowed} contradicts on_failure = "${said}"`)
  const key = said !== undefined ? 'on_failure' : allowed === true ? 'allow_failure' : undefined
  if (key !== undefined && chosen.length > 0)
    wrong([key], `a failure is for ${chosen.join(' and ')} to judge: ${key} would never be asked`)
}

function checkRetry(retry: RetryPolicy | undefined, path: Path, wrong: Wrong): void {
  const { initial_ms: first, max_ms: most } = retry ?? {}
  if (first !== undefined && most !== undefined && first > most)
    wrong([...path, 'max_ms'], `max_ms ${most} is less than initial_ms ${first}`)
}

const WITH_PATHS = ['payload', 'metadata']
function checkLock(path: string, at: Path, say: Say): void {
  const [root = '', ...below] = path.split('.')
  const known: readonly string[] = actionFields
  const deep = WITH_PATHS.includes(root)
  if (known.includes(root) && deep === below.length > 0 && !below.includes('')) return
  const near = known.includes(root) ? '' : didYouMean(root, known)
  say(at, `lock_by is a path of the origin, such as payload.device_id, metadata.zone or id${near}`)
}
