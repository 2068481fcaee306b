import type { Action, Scope } from '../core/action.ts'
import type { AuditKind } from '../core/audit.ts'
import { actionTag, kinds, kinTags } from '../core/hold.ts'
import type { Json, JsonObject } from '../core/json.ts'
import { type Lineage, passing } from '../core/lineage.ts'
import type { Plan } from '../core/plan.ts'
import type { Redact } from '../core/redact.ts'
import type { Op } from '../core/state.ts'
import type { FirstLetter } from '../delivery/dead-letters.ts'
import type { TakenKey } from './dedup.ts'
import type { IdempotencyRequest } from './idempotency.ts'
import { type Came, cameAs } from './received.ts'
import { lineageOf, type Run } from './run.ts'

/**
 * An admitted action on its way out: stored, with the rendered request, before the first byte. Whoever claims it again goes
 * on at delivery with these bytes, never at the rules.
 */
export interface Intent {
  readonly runId: string
  /** The record its end will write. */
  readonly auditId: string
  readonly kind: AuditKind
  readonly action: Action
  /** As it was received, where rules have changed it. */
  readonly came?: Came | undefined
  /** The action that is answered: another than `action` when it took over an earlier run with its dedup key. */
  readonly answers: { readonly actionId: string; readonly runId: string }
  readonly provider: string
  readonly requestedProvider?: string
  /** The rule's own fallback. */
  readonly fallback?: string
  readonly rerouted: boolean
  readonly rule?: string
  readonly matched: readonly string[]
  readonly rulesVersion: string
  readonly token: string
  readonly request: Json
  /** When the first attempt may have begun. */
  readonly firstAttemptAt: number
  /** An attempt at another provider may have been acted on. */
  readonly unknownElsewhere: boolean
  /** An attempt under this token may have been acted on, without its end being known. */
  readonly unknown?: boolean
  /** How many of its claims have ended with their end stored here. Of one more that came after them, nobody knows how far it got. */
  readonly claimsEnded?: number
  /** Why it was last put back, or handed back by a process that stopped. */
  readonly lastRefusal?: IntentRefusal
  /** The provider whose breaker refused, once a fallback has taken its place. */
  readonly fellBackFrom?: string
  /** Somebody was told that it will happen, so after a crash it is sent again. */
  readonly accepted: boolean
  /** Nobody waits: a limit or an outage puts it back, until it is too old. */
  readonly putBack: boolean
  /** Of a redrive: what its dead letter said of the caller, how many redrives there were with this one, and the letter they began with. */
  readonly redriven?: { readonly toldCaller: boolean; readonly times: number; readonly first: FirstLetter }
  /** The first due time of the hold it came from, else its admission. */
  readonly firstDueAt: number
  readonly receivedAt: number
  readonly caller: string
  readonly parentId?: string
  /** With the rule that sends it: what its request carries signed. */
  readonly lineage?: Lineage
  readonly dedup: readonly TakenKey[]
  readonly idempotency: readonly IdempotencyRequest[]
  /** The version under which the keys above were put. */
  readonly keysVersion: string
  readonly copies?: readonly string[]
  readonly chains?: readonly { readonly chain_id: string; readonly chain_name: string }[]
  readonly warnings?: readonly string[]
}

export interface IntentRefusal {
  readonly why: 'circuit_open' | 'failed' | 'shutting_down'
  /** What the last attempt that failed met, as the answer of a delivery that nobody holds would say it. */
  readonly error?: { readonly code: string; readonly message: string }
}

/** As people see it, in the words of holds. */
export function refusalView({ lastRefusal }: Intent, redact: Redact): JsonObject {
  if (lastRefusal === undefined) return {}
  const { why, error } = lastRefusal
  return { last_refusal: why, ...(error && { last_error: redact<JsonObject>({ ...error }) }) }
}

export const intentScope = (i: Intent): Scope => [i.action.namespace, i.action.tenant]

export const readIntent = (value: string): Intent => JSON.parse(value) as Intent

/** Born claimed by the node that will send it; that first sending counts as an attempt, `attempts` those before it too. */
export function putIntent(intent: Intent, version: string, claim: { owner: string; until: number }, attempts = 1): Op {
  return {
    op: 'put',
    kind: kinds.intent,
    id: intent.runId,
    value: JSON.stringify(intent),
    version,
    ifVersion: null,
    tags: intentTags(intent),
    claim,
    attempts,
  }
}

export function intentTags(i: Intent): readonly string[] {
  const tags = [actionTag(i.action.id)]
  if (i.answers.actionId !== i.action.id) tags.push(actionTag(i.answers.actionId))
  for (const tag of kinTags(i.kind, i.action, i.parentId)) tags.push(tag)
  return tags
}

/** What every answer to this run says. */
export const common = (i: Intent) => ({
  action_id: i.answers.actionId,
  run_id: i.runId,
  ...(i.rule !== undefined && { rule: i.rule }),
  ...(i.copies && { copies: i.copies }),
  ...(i.chains && { chains: i.chains }),
  ...(i.warnings && { warnings: i.warnings }),
})

/** What an intent has of the run and the plan that admitted it, before anything is known of where it goes. */
export const intentOf = (run: Run, plan: Plan, now: number) => ({
  runId: run.runId,
  auditId: run.auditId,
  kind: run.kind,
  action: plan.action,
  came: cameAs(run.action, plan.action),
  answers: { actionId: run.action.id, runId: run.runId },
  ...(run.action.provider !== undefined && { requestedProvider: run.action.provider }),
  matched: plan.matched,
  rulesVersion: run.rulesVersion,
  firstAttemptAt: now,
  unknownElsewhere: false,
  accepted: run.accepted,
  putBack: run.accepted,
  firstDueAt: run.held?.firstDueAt ?? now,
  receivedAt: run.receivedAt,
  caller: run.caller,
  ...(run.parentId !== undefined && { parentId: run.parentId }),
  lineage: leaving(run, plan),
  keysVersion: run.keysVersion,
})

function leaving(run: Run, { end }: Plan): Lineage {
  const behind = lineageOf(run)
  return end.kind === 'deliver' && end.rule !== undefined ? passing(behind, `rule:${end.rule}`) : behind
}
