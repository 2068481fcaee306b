import type { Action } from '../core/action.ts'
import { type Json, setOwn } from '../core/json.ts'
import type { StepResult } from './run.ts'

/** What templates and branch fields see. */
export interface Seen {
  readonly run: { readonly id: string }
  readonly origin: Action
  readonly results: ReadonlyMap<string, StepResult>
  readonly prev: StepResult | undefined
}

export function variables(at: Seen): { readonly [root: string]: Json | undefined } {
  return {
    origin: { ...at.origin },
    prev: at.prev,
    steps: stepsOf(at.results),
    step_result: at.prev?.body,
    chain_id: at.run.id,
  }
}

/** A branch looks at the step that has just ended first, then at the origin and the others. */
export function fields(
  result: StepResult,
  at: Omit<Seen, 'run' | 'prev'>,
): { readonly [root: string]: Json | undefined } {
  return { ...result, origin: { ...at.origin }, steps: stepsOf(at.results) }
}

function stepsOf(results: ReadonlyMap<string, StepResult>): Json {
  const out: Record<string, Json> = {}
  for (const [name, result] of results) setOwn(out, name, result)
  return out
}
