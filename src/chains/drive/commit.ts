import type { Scope } from '../../core/action.ts'
import type { Env } from '../../core/env.ts'
import { kinds } from '../../core/hold.ts'
import type { ClaimRef, Committed, Op, StateStore } from '../../core/state.ts'
import type { Lease } from '../../delivery/lease.ts'
import { lastResult } from '../decide/advance.ts'
import type { Turn } from '../decide/turn.ts'
import { cancelId, putChildEnd, putOrphans } from '../model/inbox.ts'
import { handOver } from '../model/lock.ts'
import { runRecordOps } from '../model/records.ts'
import { hasEnded, type Run, runTags, type StepResult } from '../model/run.ts'
import { KEPT_FOR_EVER, putHistory } from '../model/start.ts'
import { persevere } from './persevere.ts'
import type { Places } from './places.ts'

/** done: it is durable. refused: the op at `at` said no, nothing was done. lost: stop at once, another owner decides. */
export type Written =
  | { readonly kind: 'done' }
  | { readonly kind: 'refused'; readonly at: number }
  | { readonly kind: 'lost' }
interface Deps {
  readonly state: StateStore
  readonly env: Env
  readonly places: Pick<Places, 'enter' | 'leave'>
  readonly lease: Lease
}

/**
 * Ops 0 and 1 of every commit of an execution: that no cancel has come unseen, and its own put under the claim. Where it gives up
 * waiting for a signal the next is that none has come unseen. An op that refuses after those is one whose reason is looked up anew
 * (a lock).
 */
export const CANCEL_AT = 0
export const RUN_AT = 1
export const SIGNAL_AT = 2

/**
 * One turn as one commit, as often as it takes: a store that says nothing is asked, by the version it was to have, whether it was
 * done. `dueAt`: the claim ends, and the execution is due then. `unseen`: that no signal has come which was not looked at.
 */
export async function commitTurn(
  { state, env, places, lease }: Deps,
  turn: Turn,
  dueAt: number | undefined,
  unseen?: Op,
): Promise<Written> {
  const { scope } = turn.from
  const version = env.newId()
  if (turn.events.length > 0) turn.run = { ...turn.run, seq: turn.run.seq + 1 }
  const { run } = turn
  const also = [
    ...(turn.events.length > 0 ? [putHistory(run.id, run.seq, turn.events, version)] : []),
    ...turn.ops,
    ...putOrphans(run.id, turn.orphans, version),
    ...(hasEnded(run)
      ? [...runRecordOps(turn.tools.audit(), run, turn.from.beginning.origin), ...endingOps(turn, version)]
      : []),
  ]
  let unheard: readonly Op[] = []
  let earliest = Number.POSITIVE_INFINITY
  const written = await persevere<Written>(env, lease.lost, async (doubt) => {
    if (doubt && (await isWritten(state, scope, run.id, version))) return { kind: 'done' }
    const { claim, until } = lease
    earliest = Math.min(earliest, until)
    const ops = [
      ...putRun(turn, version, claim, dueAt, until),
      ...(unseen ? [unseen] : []),
      ...also,
      ...(hasEnded(run) || dueAt !== undefined ? places.leave() : places.enter(until)),
      ...(hasEnded(run) ? await handOver(state, scope, run, env.newId) : []),
    ]
    const answer = await state.commit(scope, ops)
    if (answer.ok) {
      unheard = messagesUnheard(ops, answer)
      return { kind: 'done' }
    }
    // A try that was thought lost may have arrived after it was asked for.
    if (doubt && (await isWritten(state, scope, run.id, version))) return { kind: 'done' }
    return { kind: 'refused', at: answer.at }
  })
  lease.wrote(earliest)
  if (unheard.length > 0)
    await state.commit(scope, unheard).catch((err: unknown) => {
      env.log.warn({ chain_id: run.id, err }, 'a message to an execution that has ended stays until that is purged')
    })
  return written?.answer ?? { kind: 'lost' }
}

/** Takes back what was said to executions that have ended already: each message stands before the op that wakes for it. */
function messagesUnheard(ops: readonly Op[], { results }: Committed): readonly Op[] {
  return ops.flatMap((op, i): Op[] => {
    const said = ops[i - 1]
    if (op.op !== 'wake' || !results[i]?.skipped || said?.op !== 'put' || said.kind !== kinds.inbox) return []
    return [{ op: 'delete', kind: said.kind, id: said.id }]
  })
}

function putRun(
  { run, from }: Turn,
  version: string,
  claim: ClaimRef,
  dueAt: number | undefined,
  until: number,
): readonly Op[] {
  const seen = from.inbox.find((r) => r.id === cancelId(run.id))
  const put = {
    op: 'put',
    kind: kinds.run,
    id: run.id,
    value: JSON.stringify(run),
    version,
    tags: runTags(run),
    ifClaim: claim,
  } as const
  return [
    { op: 'delete', kind: kinds.inbox, id: cancelId(run.id), ifVersion: seen?.version ?? null },
    hasEnded(run)
      ? { ...put, expiresAt: KEPT_FOR_EVER }
      : dueAt === undefined
        ? { ...put, claim: { owner: claim.owner, until } }
        : { ...put, dueAt },
  ]
}

/** What the end of an execution leaves for others, in the commit that ends it; what nobody has taken goes with it. */
function endingOps(turn: Turn, version: string): readonly Op[] {
  const { run, results, inbox } = turn
  const room = Math.max(0, turn.tools.mostEntries() - turn.entries)
  // Where there is no room for all, they go when it is purged.
  const ops: Op[] = inbox
    .filter((r) => r.id !== cancelId(run.id))
    .slice(0, room)
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

async function isWritten(state: StateStore, scope: Scope, runId: string, version: string): Promise<boolean> {
  const [entry] = await state.get([{ kind: kinds.run, scope, id: runId }])
  return entry?.version === version
}
