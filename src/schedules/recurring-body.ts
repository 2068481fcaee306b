import { z } from 'zod'
import type { Scope } from '../core/action.ts'
import { validateCron } from '../core/cron.ts'
import { LAST_MOMENT } from '../core/duration.ts'
import type { FieldError } from '../core/errors.ts'
import { isObject, type Json, type JsonObject, own } from '../core/json.ts'
import { didYouMean } from '../core/nearest.ts'
import { compileTemplate } from '../core/template.ts'
import { parseWire, wireCount, wireName, wirePathName } from '../core/wire.ts'
import { nextOf, type Recurring, templateNames } from './recurring.ts'

const json = z.custom<JsonObject>(isObject, 'expected an object')
/** `{"labels": {…}}` is how other gateways of the field nest it. */
const strings = z
  .custom<JsonObject>(isObject, 'expected an object of strings')
  .transform((v): Json => (Object.keys(v).length === 1 ? (own(v, 'labels') ?? v) : v))
  .transform((v) => (isObject(v) ? v : { labels: v }))
  .refine((v) => Object.values(v).every((x) => typeof x === 'string'), 'expected an object of strings')
  .transform((v) => v as { readonly [key: string]: string })

/** Words of the contract that are not built are refused by name: doing something else in their place would surprise. */
const choice = <T extends string>(known: readonly [T, ...T[]], later: string) =>
  z.enum(known, {
    error: (issue) =>
      issue.input === later
        ? `"${later}" is not supported yet, expected ${known.map((k) => `"${k}"`).join(' or ')}`
        : `expected ${known.map((k) => `"${k}"`).join(' or ')}`,
  })

/** A recurring action as callers write it. */
export const recurringSchema = z.strictObject({
  name: wirePathName.optional(),
  namespace: wireName.optional(),
  tenant: wireName.optional(),
  provider: wireName.optional(),
  action_type: wireName,
  payload: json.default({}),
  metadata: strings.default({}),
  dedup_key: z.string().min(1).max(512).optional(),
  cron_expression: z.string().max(200).optional(),
  cron_expr: z.string().max(200).optional(),
  timezone: z.string().max(100).default('UTC'),
  enabled: z.boolean().default(true),
  description: z.string().max(1000).optional(),
  end_date: z.iso
    .datetime({ offset: true, error: 'expected an RFC 3339 date and time' })
    .refine((v) => !(Date.parse(v) > LAST_MOMENT), 'is after the year 9999')
    .optional(),
  max_executions: wireCount.optional(),
  overlap_policy: choice(['allow_all', 'skip'], 'cancel_other').default('allow_all'),
  missed: choice(['fire_once', 'skip'], 'fire_all').default('fire_once'),
  backfill: z.undefined('is not supported yet').optional(),
})

export interface RecurringBody {
  readonly name: string | undefined
  readonly scope: Scope
  /** The definition as an edit of `before`, or a new one: what runs is carried over, and so is the next occurrence unless its time was edited. */
  definition(
    name: string,
    made: { readonly now: number; readonly id: string },
    before: Recurring | undefined,
  ): Recurring
}

/** `scope` is the default of the body's own. `provider` says what is wrong with a provider's name. Throws Problem 400 `invalid_recurring`. */
export function readRecurringBody(
  scope: Scope,
  body: unknown,
  provider: (name: string) => string | undefined,
  name?: string,
): RecurringBody {
  const read = parseWire(recurringSchema, body, 'recurring', (fields, told) => further(fields, told, provider, name))
  const cron = (read.cron_expression ?? read.cron_expr)! // one of them is there, or it had been refused
  const mine: Scope = [read.namespace ?? scope[0], read.tenant ?? scope[1]]
  return {
    name: read.name,
    scope: mine,
    definition(called, { now, id }, before) {
      const def: Recurring = {
        name: called,
        namespace: mine[0],
        tenant: mine[1],
        ...(read.provider !== undefined && { provider: read.provider }),
        actionType: read.action_type,
        payload: read.payload,
        metadata: read.metadata,
        ...(read.dedup_key !== undefined && { dedupKey: read.dedup_key }),
        cron: cron.trim(),
        timezone: read.timezone,
        enabled: read.enabled,
        ...(read.description !== undefined && { description: read.description }),
        ...(read.end_date !== undefined && { endDate: Date.parse(read.end_date) }),
        ...(read.max_executions !== undefined && { maxExecutions: read.max_executions }),
        overlap: read.overlap_policy,
        missed: read.missed,
        born: before?.born ?? id,
        etag: id,
        createdAt: before?.createdAt ?? now,
        updatedAt: now,
        executionCount: before?.executionCount ?? 0,
        skippedCount: before?.skippedCount ?? 0,
        ...(before?.lastAt !== undefined && { lastAt: before.lastAt }),
        ...(before?.lastRunId !== undefined && { lastRunId: before.lastRunId }),
      }
      return withNext(def, now, before)
    },
  }
}

/** What meanings and names tell of the fields that are right by themselves. */
function further(
  read: Partial<z.output<typeof recurringSchema>>,
  told: ReadonlySet<string>,
  provider: (name: string) => string | undefined,
  name: string | undefined,
): readonly FieldError[] {
  const errors: FieldError[] = []
  const wrong = (pointer: string, message: string | undefined) => {
    if (message !== undefined) errors.push({ pointer, message })
  }
  const { cron_expression, cron_expr, timezone } = read
  const cron = cron_expression ?? cron_expr
  const zone = timezone === undefined ? undefined : validateCron('* * * * *', timezone)
  wrong('/timezone', zone)
  if (cron === undefined) wrong(told.has('/cron_expr') ? '/cron_expr' : '/cron_expression', 'is required')
  else if (cron_expression !== undefined && cron_expr !== undefined)
    wrong('/cron_expr', 'is another name of cron_expression: give one of them')
  else
    wrong(
      cron_expression === undefined ? '/cron_expr' : '/cron_expression',
      validateCron(cron, zone === undefined ? (timezone ?? 'UTC') : 'UTC'),
    )
  if (name !== undefined && read.name !== undefined && read.name !== name)
    wrong('/name', `is not the name in the path, "${name}"`)
  if (name !== undefined) wrong('/name', wirePathName.safeParse(name).error?.issues[0]?.message)
  if (read.provider !== undefined) wrong('/provider', provider(read.provider))
  for (const field of ['payload', 'metadata', 'dedup_key'] as const) wrong(`/${field}`, templateError(read[field]))
  return errors
}

/** The definition with its next occurrence: the one it had while its times are the same (it may be due), else the first after now. */
export function withNext(def: Recurring, now: number, before: Recurring | undefined): Recurring {
  const { nextAt: _, ...rest } = def
  const same = before?.enabled && before.cron === def.cron && before.timezone === def.timezone
  const after = same && before.nextAt !== undefined ? Math.min(before.nextAt - 1, now) : now
  const nextAt = nextOf(rest, after)
  return nextAt === undefined ? rest : { ...rest, nextAt }
}

function templateError(value: Json | undefined): string | undefined {
  if (value === undefined) return undefined
  const unknown = compileTemplate(value).references.find((r) => !templateNames.some((n) => n === r.text))
  return (
    unknown &&
    `{{${unknown.text}}} is no template here, expected {{execution_time}} or {{execution_count}}${didYouMean(unknown.text, templateNames)}`
  )
}
