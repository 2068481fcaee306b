import { StateTooLarge } from '../core/errors.ts'
import { kinds } from '../core/hold.ts'
import type { Op, StateStore } from '../core/state.ts'

/** An action in it is to be admitted later, when it is stored as it is and as it is sent. */
const LATER: ReadonlySet<string> = new Set([kinds.scheduled, kinds.copy, kinds.occurrence, kinds.recurring])

/** A store that refuses to hold what it could not keep once it is sent: so nothing is accepted that can never go. `most`: bytes of one. */
export function withRoomForHolds(state: StateStore, most: number): StateStore {
  if (most === Number.POSITIVE_INFINITY) return state
  const isLarge = (op: Op): boolean =>
    op.op === 'put' && LATER.has(op.kind) && op.ifClaim === undefined && Buffer.byteLength(op.value) > most
  return {
    ...state,
    commit: (scope, ops, opts) =>
      ops.some(isLarge)
        ? Promise.reject(new StateTooLarge(`an action that is held has at most ${most} bytes`))
        : state.commit(scope, ops, opts),
  }
}
