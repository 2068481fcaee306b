import type { Scope } from '../core/action.ts'
import type { Env } from '../core/env.ts'
import { StateUnavailable, StateUnknown } from '../core/errors.ts'
import { kinds } from '../core/hold.ts'
import type { Op, StateStore } from '../core/state.ts'
import { LEASE_MS, type Lease } from '../delivery/lease.ts'
import { lastResult } from './advance.ts'
import { cancelId, putCancel, putChildEnd } from './inbox.ts'
import { handOver } from './lock.ts'
import { runRecordOps } from './records.ts'
import { hasEnded, type Run, runTags, type StepResult } from './run.ts'
import { enterSlots, leaveSlots } from './slots.ts'
import { KEPT_FOR_EVER, putHistory } from './start.ts'
import type { Turn } from './turn.ts'

const FIRST_WAIT_MS = 20
const LONGEST_WAIT_MS = 1000

/** done: it is durable. refused: the op at `at` said no, nothing was done. lost: stop at once, another owner decides. */
export type Written =
  | { readonly kind: 'done' }
  | { readonly kind: 'refused'; readonly at: number }
  | { readonly kind: 'lost' }
interface Deps {
  readonly state: StateStore
  readonly env: Env
}

/**
 * Ops 0 and 1 of every commit of an execution: that no cancel has come unseen, and its own put under the claim. An op that refuses
 * after those is one whose reason is looked up anew (a lock).
 */
export const CANCEL_AT = 0
export const RUN_AT = 1

/** One turn as one commit. `dueAt`: the claim ends, and the execution is due then. */
export async function commitTurn(deps: Deps, turn: Turn, lease: Lease, dueAt: number | undefined): Promise<Written> {
  const { state, env } = deps
  const { scope } = turn.from
  const version = env.newId()
  const run: Run = turn.events.length > 0 ? { ...turn.run, seq: turn.run.seq + 1 } : turn.run
  turn.run = run
  const seen = turn.from.inbox.find((r) => r.id === cancelId(run.id))
  const put = {
    op: 'put',
    kind: kinds.run,
    id: run.id,
    value: JSON.stringify(run),
    version,
    tags: runTags(run),
    ifClaim: lease.claim,
  } as const
  const until = turn.now + LEASE_MS
  const ended = hasEnded(run)
  const ops: Op[] = [
    { op: 'delete', kind: kinds.inbox, id: cancelId(run.id), ifVersion: seen?.version ?? null },
    ended
      ? { ...put, expiresAt: KEPT_FOR_EVER }
      : dueAt === undefined
        ? { ...put, claim: { owner: lease.claim.owner, until } }
        : { ...put, dueAt },
    ...(turn.events.length > 0 ? [putHistory(run.id, run.seq, turn.events, version)] : []),
    ...turn.ops,
    ...turn.orphans.flatMap((id) => [
      putCancel(id, { by: 'gateway', fromParent: true }, version),
      { op: 'wake', kind: kinds.run, id } as const,
    ]),
    ...(ended || dueAt !== undefined ? leaveSlots(run) : enterSlots(run, until)),
  ]
  if (ended) ops.push(...runRecordOps(turn.tools.audit(), run, turn.from.beginning.origin), ...endingOps(turn, version))
  if (ended) ops.push(...(await handOver(state, scope, run, env.newId, turn.now)))
  return writeRun(deps, scope, run.id, ops, version, lease)
}

/** What the end of an execution leaves for others, in the commit that ends it; what nobody has taken goes with it. */
function endingOps(turn: Turn, version: string): readonly Op[] {
  const { run, results, inbox } = turn
  const ops: Op[] = inbox
    .filter((r) => r.id !== cancelId(run.id))
    .map((r) => ({ op: 'delete', kind: kinds.inbox, id: r.id }))
  if (run.parent && !run.cause?.fromParent)
    ops.push(putChildEnd(run.parent, run.id, resultOfRun(run, lastResult(run, results)), version), {
      op: 'wake',
      kind: kinds.run,
      id: run.parent.id,
    })
  return ops
}

/** What an execution gives back: the result of its last step, and its own failure as the parent step's. */
export function resultOfRun(run: Run, last: StepResult | undefined): StepResult {
  const good = run.status === 'completed' || run.status === 'partially_completed'
  if (good && last?.success) return last
  if (good) return { success: true, fallback: false, status: last?.status ?? null, body: last?.body ?? null }
  const error = run.error ?? { code: run.status, message: `the sub-chain ended ${run.status}` }
  return { success: false, fallback: false, status: last?.status ?? null, body: null, error }
}

/**
 * Commits what ends in a put of the execution under `version`, as often as it takes: a store that says nothing is asked, by that
 * version, whether it was done. Gives up when the claim is lost, but always tries once: a claim that has run out
 * and was not taken by another still stands, and finished work must not be done again.
 */
async function writeRun(
  deps: Deps,
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
