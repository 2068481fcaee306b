import type { Action } from '../../core/action.ts'
import { isoTime } from '../../core/clock.ts'
import { ProviderError } from '../../core/errors.ts'
import { deliveryToken } from '../../core/ids.ts'
import { isObject } from '../../core/json.ts'
import { didYouMean } from '../../core/nearest.ts'
import type { DeliveryEnd } from '../../delivery/delivery.ts'
import type { ProviderStep } from '../definition.ts'
import type { Sending, StepError, StepRecord, StepResult } from '../run.ts'
import { json, label } from '../shape.ts'
import type { Acted, Entered, StepContext, StepKind, Undelivered } from '../step-kind.ts'
import { variables } from '../variables.ts'

/** Sends an action through delivery, like everything that leaves. */
export const providerStep: StepKind<ProviderStep> = {
  kind: 'provider',
  key: 'provider',
  startsAtOnce: true,
  shape: {
    provider: label,
    action_type: label,
    payload_template: json.optional(),
    fallback_provider: label.optional(),
  },
  check(step, at) {
    for (const key of ['provider', 'fallback_provider'] as const) {
      const name = step[key]
      if (name !== undefined && !at.providers.has(name))
        at.error(key, `there is no provider "${name}"${didYouMean(name, at.providers)}`)
    }
    if (step.fallback_provider === step.provider) at.error('fallback_provider', 'a provider cannot be its own fallback')
  },
  template: (step) => step.payload_template,

  enter(step, at): Entered {
    const missing: string[] = []
    const payload = at.step.payload?.render(variables(at), missing) ?? at.origin.payload
    const base = opening(at, missing)
    if (!isObject(payload))
      return failed(base, { code: 'invalid_payload', message: 'payload_template did not give an object' })
    const record: StepRecord = { ...base, input: payload }
    const token = deliveryToken(at.run.id, at.step.name, at.run.at.iteration)
    const action: Action = {
      id: at.origin.id,
      namespace: at.origin.namespace,
      tenant: at.origin.tenant,
      provider: step.provider,
      action_type: step.action_type,
      payload,
      metadata: at.origin.metadata,
      created_at: isoTime(at.run.at.since),
    }
    const unsent = { ...parcel(step, at, action, token), request: null, unknown: false }
    if (!at.deliver.has(step.provider)) return { record, store: false, lacks: step.provider, undelivered: unsent }
    try {
      const request = at.deliver.render(action, step.provider, token, at.lineage)
      const sending: Sending = {
        action,
        provider: step.provider,
        token,
        request,
        firstAttemptAt: at.now,
        unknownElsewhere: false,
      }
      return { record: { ...record, sending }, store: at.deliver.hasEffect(step.provider) }
    } catch (e) {
      if (!(e instanceof ProviderError)) throw e
      const where = e.pointer === undefined ? '' : ` at ${e.pointer}`
      return failed(record, { code: e.code, message: `${e.message}${where}` }, unsent)
    }
  },

  async act(step, at): Promise<Acted> {
    let record = at.record
    const sending = record.sending
    if (!sending) throw new Error(`step ${at.step.name} acts before it has entered`)
    if (!at.deliver.has(sending.provider)) return { kind: 'lacks', what: sending.provider }
    const { resuming } = at
    const end = await at.deliver.deliver(
      {
        action: sending.action,
        provider: sending.provider,
        token: sending.token,
        request: sending.request,
        ...(at.lineage && { lineage: at.lineage }),
        deadline: at.deadline,
        ...(step.fallback_provider !== undefined && { fallback: step.fallback_provider }),
        ...(resuming && { firstAttemptAt: sending.firstAttemptAt, unknown: true }),
        ...(sending.unknownElsewhere && { unknownElsewhere: true }),
      },
      {
        ...at.hooks,
        store: (to) => {
          record = { ...record, sending: { ...record.sending!, ...to, firstAttemptAt: at.clock.now() } }
          return at.store(record)
        },
      },
    )
    if (end.kind === 'lost') return end
    const last = record.sending!
    record = { ...record, attempts: (record.attempts ?? 0) + end.attempts }
    if (end.kind === 'handed_back') {
      const { unknownElsewhere, firstAttemptAt = last.firstAttemptAt } = end
      record = { ...record, sending: { ...last, unknownElsewhere, firstAttemptAt } }
      return { kind: 'handed_back', dueAt: end.dueAt, record }
    }
    const result = resultOf(end, step.provider)
    if (end.kind === 'executed') return { kind: 'ended', record, result }
    const { request, firstAttemptAt, provider } = last
    const undelivered = {
      ...parcel(step, at, last.action, last.token),
      provider,
      request,
      unknown: end.unknown,
      ...(end.attempts > 0 || resuming ? { firstAttemptAt } : {}),
    }
    return { kind: 'ended', record, result, undelivered }
  },
}

const parcel = (step: ProviderStep, { lineage }: StepContext, action: Action, token: string) => ({
  action,
  token,
  lineage,
  provider: step.provider,
  requested: step.provider,
  ...(step.fallback_provider !== undefined && { fallback: step.fallback_provider }),
})

function opening(at: StepContext, missing: readonly string[]): StepRecord {
  const { step, iteration, since } = at.run.at
  return {
    step,
    iteration,
    seq: at.run.taken,
    enteredAt: since,
    ...(missing.length > 0 && { missing }),
  }
}

const failed = (record: StepRecord, error: StepError, undelivered?: Undelivered): Entered => ({
  record: { ...record, attempts: 0 },
  store: false,
  failed: {
    result: { success: false, fallback: false, status: null, body: null, error },
    ...(undelivered && { undelivered }),
  },
})

function resultOf(end: Exclude<DeliveryEnd, { kind: 'lost' | 'handed_back' }>, asked: string): StepResult {
  if (end.kind === 'executed')
    return {
      success: true,
      fallback: end.fallback || end.provider !== asked,
      provider: end.provider,
      status: end.response.status,
      body: end.response.body,
    }
  const base = { success: false, fallback: false, provider: end.provider, body: null }
  if (end.kind === 'circuit_open')
    return {
      ...base,
      status: null,
      error: { code: 'circuit_open', message: `the breaker is open: ${end.tried.join(', ')}` },
    }
  return { ...base, status: end.response?.status ?? null, error: { code: end.code, message: end.message } }
}
