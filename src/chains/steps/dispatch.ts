import { z } from 'zod'
import type { Action } from '../../core/action.ts'
import { isoTime } from '../../core/clock.ts'
import { deliveryToken, uuidv7Of } from '../../core/ids.ts'
import { isObject, type Json } from '../../core/json.ts'
import { didYouMean } from '../../core/nearest.ts'
import { compileTemplate } from '../../core/template.ts'
import type { DispatchStep } from '../model/definition.ts'
import { failed, notSent, opening } from '../model/outcomes.ts'
import { json, label } from '../model/shape.ts'
import type { StepKind } from '../model/step-kind.ts'
import { variables } from '../model/variables.ts'

/** Gives an action to the rules, with all that it has passed already: they decide, as for a caller's. */
export const dispatchStep: StepKind<DispatchStep> = {
  kind: 'dispatch',
  key: 'dispatch',
  leaf: true,
  chooses: false,
  shape: {
    dispatch: z.strictObject({
      action_type: label,
      payload: json.optional(),
      provider: label.optional(),
      metadata: z
        .custom<{ readonly [name: string]: string }>(
          (v) => isObject(v) && Object.values(v).every((x) => typeof x === 'string'),
          'must be a table of texts',
        )
        .meta({ type: 'object' })
        .optional(),
      dedup_key: z.string().min(1).optional(),
    }),
  },
  check({ dispatch: d }, at) {
    if (d.provider !== undefined && !at.providers.has(d.provider))
      at.error(['dispatch', 'provider'], `there is no provider "${d.provider}"${didYouMean(d.provider, at.providers)}`)
    const wrong = notSent(d.payload)
    if (wrong !== undefined) at.error(['dispatch', 'payload'], wrong)
  },
  texts: ({ dispatch: d }) =>
    (['payload', 'metadata', 'dedup_key'] as const)
      .filter((k) => d[k] !== undefined)
      .map((k) => ({ path: ['dispatch', k], source: d[k] as Json })),
  prepare({ dispatch: d }) {
    const template = compileTemplate({
      payload: d.payload ?? null,
      metadata: d.metadata ?? null,
      dedup_key: d.dedup_key ?? null,
    })
    return {
      enter(at) {
        const missing: string[] = []
        const rendered = template.render(variables(at), missing) as { readonly [key: string]: Json }
        const payload = d.payload === undefined ? at.origin.payload : rendered['payload']!
        if (!isObject(payload))
          return failed(opening(at, missing), { code: 'invalid_payload', message: 'payload did not give an object' })
        const token = deliveryToken(at.run.id, at.task.key, at.task.iteration)
        const key = rendered['dedup_key']
        const action: Action = {
          // A function of what dispatches it: found by it afterwards, and the same when it is done again.
          id: uuidv7Of(at.task.since, 'dispatch', at.run.id, at.task.key, String(at.task.iteration)),
          namespace: at.origin.namespace,
          tenant: at.origin.tenant,
          action_type: d.action_type,
          payload,
          metadata: texts(rendered['metadata']),
          created_at: isoTime(at.task.since),
          ...(d.provider !== undefined && { provider: d.provider }),
          ...(key !== null && key !== undefined && { dedup_key: String(key) }),
        }
        const sending = {
          action,
          provider: '',
          token,
          request: null,
          firstAttemptAt: at.now,
          unknownElsewhere: false,
        }
        return { to: 'act', record: { ...opening(at, missing), input: payload, sending }, store: true }
      },
      async act(at) {
        const { record, deadline, lineage } = at
        const sending = record.sending!
        // Each attempt is a repetition under the same key: one that may have arrived is gone on with, and not made a second time.
        const end = await at.dispatch.dispatch(sending.action, {
          token: sending.token,
          lineage,
          chain: at.run.chain,
          deadline,
        })
        // What may have been done once is not made undone by a later attempt that was refused.
        const unknown = end.unknown || sending.unknown === true
        const seen = unknown ? { ...record, sending: { ...sending, unknown } } : record
        if ('askAt' in end) return { kind: 'handed_back', dueAt: end.askAt, record: seen }
        return { kind: 'ended', ...end, record: { ...seen, attempts: (record.attempts ?? 0) + 1 }, unknown }
      },
    }
  },
}

function texts(value: Json | undefined): { readonly [key: string]: string } {
  if (!isObject(value)) return {}
  return Object.fromEntries(
    Object.entries(value).map(([k, v]) => [k, typeof v === 'string' ? v : v === null ? '' : JSON.stringify(v)]),
  )
}
