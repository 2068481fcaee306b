import { isoTime } from '../core/clock.ts'
import { ProviderError } from '../core/errors.ts'
import type { Hold } from '../core/hold.ts'
import { deliveryToken } from '../core/ids.ts'
import { passing } from '../core/lineage.ts'
import type { Outcome } from '../core/outcome.ts'
import { type End, type Plan, resumeBehind } from '../core/plan.ts'
import type { Committed } from '../core/state.ts'
import { LEASE_MS } from '../delivery/lease.ts'
import { appendOps } from '../groups/group.ts'
import { MOST_UNDER_KEY, scheduleOps } from '../schedules/schedule.ts'
import { endedRecord } from '../schedules/schedules.ts'
import type { After, Tools } from './after.ts'
import type { TakenKey } from './dedup.ts'
import { add, type Draft } from './draft.ts'
import type { Effects } from './effects.ts'
import { type Intent, intentOf, putIntent } from './intent.ts'
import type { Parts } from './parts.ts'
import { recordOps } from './record.ts'
import { lineageOf, type Run } from './run.ts'
import { executed } from './send.ts'

/** What an end adds to the commit, and what is told once it is durable. */
export interface Ended {
  /** Undefined while an intent is still to be sent. */
  readonly outcome: Outcome | undefined
  /** Completes the outcome with what only the commit knows. */
  readonly complete?: (c: Committed) => Outcome
  /** The tag the audit is told, where it differs from the outcome's. */
  readonly auditAs?: string
  readonly after: Partial<After>
  readonly warnings?: readonly string[]
}

export interface EndInput {
  readonly parts: Parts
  readonly tools: Tools
  readonly run: Run
  readonly plan: Plan
  readonly draft: Draft
  readonly effects: Effects
  readonly dedup: readonly TakenKey[]
  readonly base: Base
  readonly now: number
}
type Base = {
  readonly action_id: string
  readonly run_id: string
  readonly copies?: readonly string[]
  readonly chains?: Outcome['chains'] & object
  readonly warnings?: readonly string[]
}
type EndOf<K extends End['kind']> = Extract<End, { kind: K }>

export function endOps(input: EndInput): Ended {
  const { end } = input.plan
  switch (end.kind) {
    case 'suppress':
    case 'deny':
      return {
        outcome: {
          ...input.base,
          outcome: end.kind === 'deny' ? 'denied' : 'suppressed',
          rule: end.rule,
          ...(end.reason !== undefined && { reason: end.reason }),
        },
        after: {},
      }
    case 'loop': {
      const { rule, reason, cycle } = end
      return {
        outcome: { ...input.base, outcome: 'loop_detected', ...(rule !== undefined && { rule }), reason, cycle },
        after: {},
      }
    }
    case 'chain':
      return chainEnd(input, end)
    case 'group':
      return groupEnd(input, end)
    case 'schedule':
      return scheduleEnd(input, end)
    case 'deliver':
      return deliverEnd(input, end)
  }
}

function chainEnd({ tools, run, plan, draft, base, now }: EndInput, end: EndOf<'chain'>): Ended {
  const { runId, scope } = run
  const started = tools.chains.startOps({
    chain: end.chain,
    scope,
    action: plan.action,
    runId,
    now,
    rule: end.rule,
    lineage: passing(lineageOf(run), `rule:${end.rule}`, `chain:${end.chain}`),
  })
  if (!started && tools.chains.disabled(end.chain))
    return failed(base, end.rule, 'chain_disabled', `chain "${end.chain}" is switched off`)
  if (!started) return failed(base, end.rule, 'chain_unknown', `chain "${end.chain}" is not defined`)
  const at = add(draft, started.ops)
  return {
    outcome: {
      ...base,
      outcome: 'chain_started',
      rule: end.rule,
      chain_id: started.chainId,
      chain_name: started.chainName,
      total_steps: started.totalSteps,
      first_step: started.firstStep,
    },
    after: { chains: [{ chainId: started.chainId, at, claim: started.claim }] },
  }
}

function groupEnd({ run, plan, draft, base }: EndInput, end: EndOf<'group'>): Ended {
  const at = add(
    draft,
    appendOps(end, {
      action: plan.action,
      runId: run.runId,
      receivedAt: run.receivedAt,
      matched: plan.matched,
      ...(run.lineage && { lineage: run.lineage }),
    }),
  )
  const outcome: Outcome = { ...base, outcome: 'grouped', rule: end.rule, group_id: end.groupId }
  return {
    outcome,
    complete: (c) => {
      const r = c.results[at]
      const { n, dueAt } = r ?? {}
      return {
        ...outcome,
        ...(n !== undefined && { group_size: n }),
        ...(dueAt !== undefined && { notify_at: isoTime(dueAt) }),
      }
    },
    after: { nudge: ['flush'] },
  }
}

function scheduleEnd({ parts, run, plan, draft, base, now }: EndInput, end: EndOf<'schedule'>): Ended {
  const key = end.keyId === undefined ? undefined : draft.keys.get(end.keyId)
  if (end.onRepeat === 'add' && (key?.holds.length ?? 0) >= MOST_UNDER_KEY) {
    const message = `${MOST_UNDER_KEY} actions are held under this key already`
    return failed(base, end.rule, 'schedule_key_full', message)
  }
  const hold: Hold = {
    kind: 'scheduled',
    runId: run.runId,
    auditId: parts.env.newId(),
    action: plan.action,
    heldAt: now,
    firstDueAt: end.dueAt,
    resume: resumeBehind(end, plan.matched),
    ...(run.parentId !== undefined && { parentId: run.parentId }),
    lineage: passing(lineageOf(run), `rule:${end.rule}`),
    rule: end.rule,
    ...(end.keyId !== undefined && { keyId: end.keyId }),
    counted: true,
  }
  const scheduled = scheduleOps({ hold, onRepeat: end.onRepeat, key, version: parts.env.newId() })
  add(draft, scheduled.ops, { is: 'moved' })
  if (scheduled.key) draft.keys.set(scheduled.key.id, scheduled.key)
  for (const ended of scheduled.ended) {
    const by = { caller: run.caller, rule: end.rule, actionId: run.action.id }
    add(draft, recordOps(parts.audit(), endedRecord(ended, now, by)))
  }
  return {
    outcome: {
      ...base,
      outcome: 'scheduled',
      rule: end.rule,
      hold_id: scheduled.holdId,
      scheduled_for: scheduled.scheduledFor,
    },
    ...(scheduled.kept && { auditAs: 'deduplicated' }),
    after: {},
    warnings: scheduled.warnings,
  }
}

/** What is told of a delivery that cannot fail, until the provider itself has answered. */
const LOGGED = {
  attempts: 1,
  guarantee: 'at_least_once',
  response: { status: 200, body: null },
  fallback: false,
} as const

function deliverEnd(input: EndInput, end: EndOf<'deliver'>): Ended {
  const { parts, run, plan, draft, effects, dedup, base, now } = input
  const { provider } = end
  if (provider === undefined)
    return failed(base, end.rule, 'provider_required', 'no rule and no default names a provider')
  const promised = run.accepted && !run.held
  // Nothing of it leaves the machine and it cannot fail: one commit is the whole story. A stored answer needs the real one.
  const certain = parts.deliver.certain(provider) && !run.idempotency && !promised
  // What leaves nothing behind outside needs no token to be known by, and no intent.
  const token = certain ? '' : deliveryToken(run.runId)
  const common = certain ? undefined : intentOf(run, plan, now)
  let request: Intent['request']
  try {
    request = parts.deliver.render(plan.action, provider, token, common?.lineage)
  } catch (e) {
    if (!(e instanceof ProviderError)) throw e
    return failed(base, end.rule, e.code, e.message, provider)
  }
  const told = { ...base, ...(end.rule !== undefined && { rule: end.rule }) }
  if (!common) {
    const route = { provider, rerouted: end.rerouted, requestedProvider: run.action.provider }
    return { outcome: executed(told, route, { provider, ...LOGGED }), after: { send: { provider, request } } }
  }
  const intent: Intent = {
    ...common,
    provider,
    ...(end.fallback !== undefined && { fallback: end.fallback }),
    rerouted: end.rerouted,
    ...(end.rule !== undefined && { rule: end.rule }),
    token,
    request,
    dedup,
    idempotency: run.idempotency ? [run.idempotency] : [],
    ...(effects.copies.length > 0 && { copies: effects.copies }),
    ...(effects.chains.length > 0 && { chains: effects.chains }),
    ...(base.warnings && { warnings: base.warnings }),
  }
  const until = now + LEASE_MS
  const at = add(draft, [putIntent(intent, parts.env.newId(), { owner: parts.node, until }, run.held?.attempts)])
  return { outcome: promised ? { ...told, outcome: 'accepted' } : undefined, after: { intent: { intent, at, until } } }
}

const failed = (base: Base, rule: string | undefined, code: string, message: string, provider?: string): Ended => ({
  outcome: {
    ...base,
    ...(rule !== undefined && { rule }),
    outcome: 'failed',
    ...(provider !== undefined && { provider }),
    code,
    message,
    retryable: false,
    attempts: 0,
  },
  after: {},
})
