import type { Action } from '../../core/action.ts'
import { type Json, setOwn } from '../../core/json.ts'
import type { StepResult } from './run.ts'

/** What templates and branch fields see. */
export interface Seen {
  readonly run: { readonly id: string }
  readonly origin: Action
  readonly results: ReadonlyMap<string, StepResult>
  readonly prev: StepResult | undefined
  readonly item?: { readonly item: Json; readonly index: number }
}

export type Variables = { readonly [root: string]: Json | undefined }

export function variables(at: Seen): Variables {
  return {
    origin: { ...at.origin },
    prev: at.prev,
    steps: stepsOf(at.results),
    step_result: at.prev?.body,
    chain_id: at.run.id,
    ...(at.item && { item: at.item.item, index: at.item.index }),
  }
}

/** A branch looks at the step that has just ended first, then at the origin and the others. */
export function fields(result: StepResult, at: Omit<Seen, 'run' | 'prev'>): Variables {
  return { ...result, origin: { ...at.origin }, steps: stepsOf(at.results) }
}

/** A condition step looks at the step before it. */
export function conditionFields(at: Seen): Variables {
  return { origin: { ...at.origin }, prev: at.prev, steps: stepsOf(at.results) }
}

function stepsOf(results: ReadonlyMap<string, StepResult>): Json {
  const out: Record<string, Json> = {}
  for (const [name, result] of results) setOwn(out, name, result)
  return out
}
