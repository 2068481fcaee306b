import type { Action } from '../../core/action.ts'
import { type AuditRecord, auditRow } from '../../core/audit.ts'
import { isoTime } from '../../core/clock.ts'
import { uuidv7Of } from '../../core/ids.ts'
import type { Json } from '../../core/json.ts'
import type { Redact } from '../../core/redact.ts'
import type { Op } from '../../core/state.ts'
import { type DeadLetter, putDeadLetter } from '../../delivery/dead-letters.ts'
import type { Compensation, StepDefinition } from './definition.ts'
import type { Run, StepRecord, StepResult } from './run.ts'
import type { Undelivered } from './step-kind.ts'

/** How the audit is kept; asked for each record, as redaction may be reloaded. */
export interface AuditPolicy {
  readonly enabled: boolean
  readonly storePayload: boolean
  readonly redact: Redact
}

/** The record of one step, redacted. Its id comes from when the step was entered, so writing it twice is once. */
export function stepRecordOps(
  policy: AuditPolicy,
  run: Run,
  step: StepDefinition | Compensation,
  origin: Action,
  record: StepRecord,
  result: StepResult,
  /** It is the record of a step's undoing. */
  undo = false,
): readonly Op[] {
  const asked = 'provider' in step ? step.provider : undefined
  const provider = result.provider ?? asked
  const tag = result.success ? 'step_completed' : result.error?.code === 'circuit_open' ? 'circuit_open' : 'failed'
  return recordOps(policy, {
    id: uuidv7Of(
      record.enteredAt,
      'chain_step',
      run.id,
      record.key,
      String(record.iteration),
      ...(undo ? ['undo'] : []),
    ),
    kind: 'chain_step',
    run,
    origin,
    outcome: tag,
    from: record.enteredAt,
    to: record.endedAt ?? record.enteredAt,
    ...(provider !== undefined && { provider }),
    ...(asked !== undefined && { requested: asked }),
    ...('action_type' in step && { actionType: step.action_type }),
    payload: record.input,
    details: {
      chain_name: run.chain,
      step: record.key,
      iteration: record.iteration,
      fallback: result.fallback,
      status: result.status,
      body: result.body,
      ...(record.attempts !== undefined && { attempts: record.attempts }),
      ...(result.error && { error: result.error }),
      ...(record.child && { child_chain_id: record.child.id, sub_chain: record.child.chain }),
      ...(record.deadLetterId !== undefined && { dead_letter_id: record.deadLetterId }),
      ...(record.missing && { missing: record.missing }),
      ...(record.cached && { cached: true }),
      ...(undo && { undo: true }),
    },
  })
}

/** The record of an execution's end. One that a dead letter brought back ends again, in a record of its own. */
export const runRecordOps = (policy: AuditPolicy, run: Run, origin: Action): readonly Op[] =>
  recordOps(policy, {
    id: uuidv7Of(run.startedAt, 'chain', run.id, String(run.resumed)),
    kind: 'chain',
    run,
    origin,
    outcome: run.status,
    from: run.startedAt,
    to: run.endedAt ?? run.startedAt,
    ...(run.endedBy !== undefined && { caller: run.endedBy }),
    details: {
      chain_name: run.chain,
      definition_version: run.version,
      steps_taken: run.taken,
      ...(run.done.length > 0 && { last_step: run.done.at(-1)! }),
      ...(run.cause && { cause: run.cause.status }),
      ...(run.failures.length > 0 && { failed_steps: run.failures }),
      ...(run.parent && { parent_step: run.parent.step }),
      ...(run.error && { error: run.error }),
    },
  })

interface Recorded {
  readonly id: string
  readonly kind: 'chain' | 'chain_step'
  readonly run: Run
  readonly origin: Action
  readonly outcome: string
  readonly from: number
  readonly to: number
  readonly provider?: string
  readonly requested?: string
  readonly actionType?: string
  readonly payload?: Json | undefined
  readonly caller?: string
  readonly details: { readonly [key: string]: Json }
}

function recordOps(policy: AuditPolicy, r: Recorded): readonly Op[] {
  if (!policy.enabled) return []
  const { run, origin } = r
  const payload = r.payload
  const record: AuditRecord = {
    id: r.id,
    kind: r.kind,
    namespace: origin.namespace,
    tenant: origin.tenant,
    action_id: origin.id,
    run_id: run.runId,
    ...(run.parent && { parent_id: run.parent.id }),
    chain_id: run.id,
    ...(r.provider !== undefined && { provider: r.provider }),
    ...(r.requested !== undefined && { requested_provider: r.requested }),
    action_type: r.actionType ?? origin.action_type,
    outcome: r.outcome,
    ...(run.rule !== undefined && { rule: run.rule }),
    ...(policy.storePayload && isPayload(payload) && policy.redact({ payload })),
    ...policy.redact({ metadata: origin.metadata }),
    details: policy.redact(r.details),
    caller: r.caller ?? 'gateway',
    received_at: isoTime(r.from),
    completed_at: isoTime(r.to),
    duration_ms: r.to - r.from,
  }
  return [{ op: 'record', row: auditRow(record) }]
}
const isPayload = (v: Json | undefined): v is { readonly [key: string]: Json } =>
  typeof v === 'object' && v !== null && !Array.isArray(v)

/** What `[dead_letters].forward_to` adds to the commit that writes a letter. `now` in milliseconds. */
export type Forward = (letter: DeadLetter, now: number) => readonly Op[]

/**
 * A step's delivery that failed for good, whole. It is written whether or not branches take care of the failure: they say
 * where the execution goes, not that the action need not arrive.
 */
export function deadLetterOps(
  run: Run,
  record: StepRecord,
  lost: Undelivered,
  result: StepResult,
  at: {
    readonly id: string
    readonly now: number
    readonly ttlMs: number | undefined
    readonly forward: Forward
    readonly undo: true | undefined
  },
): readonly Op[] {
  const letter: DeadLetter = {
    id: at.id,
    created_at: isoTime(at.now),
    action: lost.action,
    provider: lost.provider,
    requested_provider: lost.requested,
    ...(lost.fallback !== undefined && { fallback: lost.fallback }),
    // Tokens of an execution come from its own id: one admission may start several.
    run_id: run.id,
    token: lost.token,
    request: lost.request,
    code: result.error?.code ?? 'failed',
    message: result.error?.message ?? '',
    unknown: lost.unknown,
    attempts: record.attempts ?? 0,
    ...(lost.firstAttemptAt !== undefined && { first_attempt_at: isoTime(lost.firstAttemptAt) }),
    told_caller: false,
    ...(lost.lineage && { lineage: lost.lineage }),
    origin: {
      kind: 'chain_step',
      chain_id: run.id,
      step: record.key,
      iteration: record.iteration,
      ...(at.undo && { undo: true }),
    },
    redrives: run.resumed,
  }
  return [...putDeadLetter(letter, at.ttlMs), ...at.forward(letter, at.now)]
}
