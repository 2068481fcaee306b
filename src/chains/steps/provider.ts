import type { Action } from '../../core/action.ts'
import { isoTime } from '../../core/clock.ts'
import { ProviderError } from '../../core/errors.ts'
import { deliveryToken } from '../../core/ids.ts'
import { isObject } from '../../core/json.ts'
import { didYouMean } from '../../core/nearest.ts'
import { compileTemplate, type Template } from '../../core/template.ts'
import type { DeliveryEnd } from '../../delivery/delivery.ts'
import type { Sender } from '../model/compiled.ts'
import type { ProviderStep } from '../model/definition.ts'
import { bad, failed, notSent, opening } from '../model/outcomes.ts'
import type { Sending, StepRecord, StepResult } from '../model/run.ts'
import { json, label } from '../model/shape.ts'
import type { ActContext, Acted, StepContext, StepKind, Undelivered } from '../model/step-kind.ts'
import { variables } from '../model/variables.ts'

/** Sends an action through delivery, like everything that leaves. */
export const providerStep: StepKind<ProviderStep> = {
  kind: 'provider',
  key: 'provider',
  leaf: true,
  chooses: false,
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
        at.error([key], `there is no provider "${name}"${didYouMean(name, at.providers)}`)
    }
    const wrong = notSent(step.payload_template)
    if (wrong !== undefined) at.error(['payload_template'], wrong)
    if (step.fallback_provider === step.provider)
      at.error(['fallback_provider'], 'a provider cannot be its own fallback')
  },
  texts: (step) =>
    step.payload_template === undefined ? [] : [{ path: ['payload_template'], source: step.payload_template }],
  prepare(step) {
    const payload = step.payload_template === undefined ? undefined : compileTemplate(step.payload_template)
    const send = sends({ ...step, payload, nonce: '' })
    return { enter: (at) => send.enter(at, variables(at)), act: send.act }
  },
}

/** What a step, or the undoing of one, sends. */
export interface Sends {
  readonly provider: string
  readonly action_type: string
  readonly fallback_provider?: string
  readonly payload: Template | undefined
  /** Of its token: what undoes a step goes out under another than the step. */
  readonly nonce: string
}

export function sends(what: Sends): Sender {
  return {
    enter(at, seen) {
      const missing: string[] = []
      const payload = what.payload === undefined ? at.origin.payload : what.payload.render(seen, missing)
      const base = opening(at, missing)
      if (!isObject(payload))
        return failed(base, { code: 'invalid_payload', message: 'payload_template did not give an object' })
      const record: StepRecord = { ...base, input: payload }
      const token = deliveryToken(at.run.id, at.task.key, at.task.iteration, nonceOf(what, at.run.resumed))
      const action = actionOf(what, at, payload)
      const unsent = { ...parcel(what, at, action, token), request: null, unknown: false }
      if (!at.deliver.has(what.provider)) return { to: 'lack', record, what: what.provider, undelivered: unsent }
      try {
        const request = at.deliver.render(action, what.provider, token, at.lineage)
        const sending: Sending = {
          action,
          provider: what.provider,
          token,
          request,
          firstAttemptAt: at.now,
          unknownElsewhere: false,
        }
        return { to: 'act', record: { ...record, sending }, store: at.deliver.hasEffect(what.provider) }
      } catch (e) {
        if (!(e instanceof ProviderError)) throw e
        const where = e.pointer === undefined ? '' : ` at ${e.pointer}`
        return failed(record, { code: e.code, message: `${e.message}${where}` }, unsent)
      }
    },
    act: (at) => act(what, at),
  }
}

/** What undoes a step once more, after it could not be undone, is another action to the receiver. */
const nonceOf = ({ nonce }: Sends, resumed: number): string =>
  nonce === '' || resumed === 0 ? nonce : `${nonce}/${resumed}`

const actionOf = (what: Sends, at: StepContext, payload: Action['payload']): Action => ({
  id: at.origin.id,
  namespace: at.origin.namespace,
  tenant: at.origin.tenant,
  provider: what.provider,
  action_type: what.action_type,
  payload,
  metadata: at.origin.metadata,
  created_at: isoTime(at.task.since),
})

async function act(what: Sends, at: ActContext): Promise<Acted> {
  let record = at.record
  const sending = record.sending
  if (!sending) throw new Error(`step ${at.task.key} acts before it has entered`)
  if (!at.deliver.has(sending.provider)) return { kind: 'lacks', what: sending.provider }
  const unknown = at.resuming || sending.unknown === true
  const end = await at.deliver.deliver(
    {
      action: sending.action,
      provider: sending.provider,
      token: sending.token,
      request: sending.request,
      ...(at.lineage && { lineage: at.lineage }),
      deadline: at.deadline,
      ...(what.fallback_provider !== undefined && { fallback: what.fallback_provider }),
      ...((unknown || (record.attempts ?? 0) > 0) && { firstAttemptAt: sending.firstAttemptAt }),
      ...(unknown && { unknown: true }),
      ...(sending.unknownElsewhere && { unknownElsewhere: true }),
      ...(at.once && { maxRetries: 0 }),
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
    record = {
      ...record,
      sending: { ...last, unknownElsewhere, firstAttemptAt, ...(end.unknown && { unknown: true }) },
    }
    return { kind: 'handed_back', dueAt: end.dueAt, record }
  }
  const result = resultOf(end, what.provider)
  if (end.kind === 'executed') return { kind: 'ended', record, result }
  const { request, firstAttemptAt, provider } = last
  const undelivered = {
    ...parcel(what, at, last.action, last.token),
    provider,
    request,
    unknown: end.unknown,
    ...(end.attempts > 0 || at.resuming ? { firstAttemptAt } : {}),
  }
  if (end.unknown) record = { ...record, sending: { ...last, unknown: true } }
  return {
    kind: 'ended',
    record,
    result,
    undelivered,
    retryable: end.kind === 'circuit_open' || end.retryable,
    ...(end.retryAfterMs !== undefined && { retryAfterMs: end.retryAfterMs }),
  }
}

const parcel = (
  what: Sends,
  { lineage }: StepContext,
  action: Action,
  token: string,
): Omit<Undelivered, 'request' | 'unknown'> => ({
  action,
  token,
  lineage,
  provider: what.provider,
  requested: what.provider,
  ...(what.fallback_provider !== undefined && { fallback: what.fallback_provider }),
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
  const { provider } = end
  if (end.kind === 'circuit_open')
    return bad({ code: 'circuit_open', message: `the breaker is open: ${end.tried.join(', ')}` }, { provider })
  return bad({ code: end.code, message: end.message }, { provider, status: end.response?.status ?? null })
}
