import type { Scope } from '../core/action.ts'
import type { Env } from '../core/env.ts'
import { StateUnavailable, StateUnknown } from '../core/errors.ts'
import { kinds } from '../core/hold.ts'
import type { Op, StateStore } from '../core/state.ts'
import type { Lease } from '../delivery/lease.ts'

const FIRST_WAIT_MS = 20
const LONGEST_WAIT_MS = 1000

/** done: it is durable. refused: the op at `at` said no, nothing was done. lost: stop at once, another owner decides. */
export type Written =
  | { readonly kind: 'done' }
  | { readonly kind: 'refused'; readonly at: number }
  | { readonly kind: 'lost' }

/**
 * Commits what ends in a put of the execution under `version`, as often as it takes: a store that says nothing is asked, by that
 * version, whether it was done. Gives up when the claim is lost, but always tries once: a claim that has run out
 * and was not taken by another still stands, and finished work must not be done again.
 */
export async function writeRun(
  deps: { readonly state: StateStore; readonly env: Env },
  scope: Scope,
  runId: string,
  ops: readonly Op[],
  version: string,
  lease: Lease,
): Promise<Written> {
  const { state, env } = deps
  let doubt = false
  for (let wait = FIRST_WAIT_MS; ; wait = Math.min(wait * 2, LONGEST_WAIT_MS)) {
    try {
      if (doubt && (await isWritten(state, scope, runId, version))) return { kind: 'done' }
      const answer = await state.commit(scope, ops)
      if (answer.ok) return { kind: 'done' }
      // A try that was thought lost may have arrived after it was asked for.
      if (doubt && (await isWritten(state, scope, runId, version))) return { kind: 'done' }
      return { kind: 'refused', at: answer.at }
    } catch (e) {
      if (!(e instanceof StateUnavailable || e instanceof StateUnknown)) throw e
      doubt ||= e instanceof StateUnknown
    }
    if (lease.lost.aborted) return { kind: 'lost' }
    await env.clock.sleep(wait, lease.lost)
  }
}

async function isWritten(state: StateStore, scope: Scope, runId: string, version: string): Promise<boolean> {
  const [entry] = await state.get([{ kind: kinds.run, scope, id: runId }])
  return entry?.version === version
}
