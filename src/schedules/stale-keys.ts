import type { Scope } from '../core/action.ts'
import { StateUnavailable, StateUnknown } from '../core/errors.ts'
import { kinds } from '../core/hold.ts'
import type { Committed, Op, StateStore } from '../core/state.ts'
import { linkTo, readKey } from './schedule.ts'

interface Tools {
  readonly state: Pick<StateStore, 'get' | 'commit'>
  readonly newId: () => string
}

/** Others at the same key each take off all that has ended: whoever is refused finds little or nothing left to do. */
const ROUNDS = 8

/**
 * After a commit that ended holds. Of those that end at one moment under one key one takes itself off, and the others find that the
 * key has moved on: without this it would point at what is gone for ever, as a key seldom comes again.
 */
export async function tidyKeys(tools: Tools, scope: Scope, ops: readonly Op[], done: Committed): Promise<void> {
  for (const [i, op] of ops.entries())
    if ('kind' in op && op.kind === kinds.scheduleKey && done.results[i]?.skipped) await tidyKey(tools, scope, op.id)
}

/** Takes off a key what is not there any more. */
export async function tidyKey({ state, newId }: Tools, scope: Scope, id: string): Promise<void> {
  try {
    for (let round = 0; round < ROUNDS; round++) {
      const [key] = await state.get([{ kind: kinds.scheduleKey, scope, id }])
      if (!key) return
      const holds = readKey(key)
      const found = await state.get(holds.map((hold) => ({ kind: kinds.scheduled, scope, id: hold })))
      const left = holds.filter((_, n) => found[n])
      if (left.length === holds.length) return
      if ((await state.commit(scope, [linkTo(left, key, newId())])).ok) return
    }
  } catch (e) {
    // What has ended has ended. What is left of the key is passed over when it is next read.
    if (!(e instanceof StateUnavailable || e instanceof StateUnknown)) throw e
  }
}
