import type { Op } from '../core/state.ts'
import type { KeyState } from '../schedules/schedule.ts'
import type { About } from './refusal.ts'

/** A commit being written: ops in order, each with what its refusal would mean. */
export interface Draft {
  readonly ops: Op[]
  readonly about: (About | undefined)[]
  /** Schedule keys as read before, moved on by what is already in the draft. */
  readonly keys: Map<string, KeyState>
}
export const newDraft = (keys: ReadonlyMap<string, KeyState>): Draft => ({
  ops: [],
  about: [],
  keys: keys.size === 0 ? new Map() : new Map(keys),
})

/** Appends and answers the index of the first op added. */
export function add(draft: Draft, ops: readonly Op[], about?: About): number {
  const at = draft.ops.length
  for (const op of ops) {
    draft.ops.push(op)
    draft.about.push(about)
  }
  return at
}
