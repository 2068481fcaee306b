import { kinds } from '../core/hold.ts'
import type { Outcome } from '../core/outcome.ts'
import type { Plan } from '../core/plan.ts'
import type { Claimed } from '../core/state.ts'
import { flushAction } from '../groups/group.ts'
import { readHold } from '../schedules/schedule.ts'
import { tidyKey } from '../schedules/stale-keys.ts'
import { common, readIntent } from './intent.ts'
import type { Parts } from './parts.ts'
import { refusalRecord } from './refusal-record.ts'
import type { Run } from './run.ts'
import { endedOps, letterOps } from './settle.ts'
import { tellEnd } from './told.ts'

/**
 * The last word on held work whose handling has thrown too often: a dead letter with the whole action, so that nothing accepted
 * is lost and nothing runs for ever.
 */
export async function exhausted(parts: Parts, entry: Claimed): Promise<void> {
  const now = parts.env.clock.now()
  const message = `its handling failed ${entry.attempts} times; see the log`
  const failed = { outcome: 'failed', code: 'gateway_fault', message, retryable: false, attempts: 0 } as const
  if (entry.key.kind === kinds.intent) {
    const intent = readIntent(entry.value)
    // It may have been sent each time.
    const ended = endedOps(
      parts,
      intent,
      { ...common(intent), ...failed, provider: intent.provider, unknown: true },
      entry.claim,
      now,
      true,
    )
    const done = await parts.state.commit(entry.key.scope, ended.ops)
    if (done.ok) tellEnd(parts, ended.outcome, intent, now)
    return
  }
  const { action, runId, auditId, heldAt, kind, rule, lineage, resume, keyId } =
    entry.key.kind === kinds.flush ? ofFlush(entry) : ofHold(entry)
  const run: Run = {
    runId,
    auditId,
    kind,
    action,
    scope: entry.key.scope,
    ...(lineage && { lineage }),
    receivedAt: heldAt,
    caller: 'gateway',
    rulesVersion: '',
    keysVersion: runId,
    counted: true,
    accepted: true,
    held: { remove: [], unlink: [], firstDueAt: heldAt, attempts: entry.attempts, ...(resume && { resume }) },
  }
  const plan: Plan = {
    action,
    matched: [],
    guards: [],
    limits: [],
    effects: [],
    warnings: [],
    // Where the rules would have led it nobody knows: redriven it asks them again, where it stood. For a copy none is asked.
    end: { kind: 'deliver', provider: kind === 'copy' ? action.provider : undefined, rerouted: false },
  }
  const outcome: Outcome & { outcome: 'failed' } = {
    action_id: action.id,
    run_id: runId,
    ...failed,
    ...(rule !== undefined && { rule }),
    ...(action.provider !== undefined && { provider: action.provider }),
  }
  const letter = letterOps(parts, run, plan, outcome, now)
  const told = { ...outcome, dead_letter_id: letter.letterId }
  const done = await parts.state.commit(entry.key.scope, [
    { op: 'delete', kind: entry.key.kind, id: entry.key.id, ifClaim: entry.claim },
    ...letter.ops,
    ...refusalRecord(parts, run, plan, told, now),
  ])
  if (!done.ok) return
  if (keyId !== undefined) await tidyKey({ state: parts.state, newId: parts.env.newId }, entry.key.scope, keyId)
  tellEnd(parts, told, run, now)
}

const ofFlush = (entry: Claimed) => {
  const { action, runId, auditId, sealedAt, resume, lineage } = flushAction(entry.value)
  const { rule } = resume
  return { action, runId, auditId, heldAt: sealedAt, kind: 'flush' as const, rule, lineage, resume, keyId: undefined }
}
const ofHold = (entry: Claimed) => {
  const hold = readHold(entry)
  const kind = hold.kind === 'scheduled' ? ('release' as const) : hold.kind
  const { action, runId, auditId, heldAt, rule, lineage, resume, keyId } = hold
  return { action, runId, auditId, heldAt, kind, rule, lineage, resume, keyId }
}
