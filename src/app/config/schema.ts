import { z } from 'zod'
import { chainShape, commonStep } from '../../chains/model/shape.ts'
import { stepKinds } from '../../chains/steps/index.ts'
import { CENTURY_SECONDS, YEAR_SECONDS } from '../../core/duration.ts'
import { limitShape, modes } from '../../rules/limits.ts'
import { backendNames } from './config.ts'

/** The sections of gateway.toml, strict, with their defaults. The types of `[[providers]]` bring their own keys. */

const count = z.number().int().min(1)
// What is to be waited for comes to pass, and a moment that is reckoned with these can be written down.
const seconds = z.number().positive().max(YEAR_SECONDS)
const wholeSeconds = z.number().int().min(1).max(CENTURY_SECONDS)
const milliseconds = z
  .number()
  .min(1)
  .max(YEAR_SECONDS * 1000)
const name = z.string().min(1).max(128)

const server = z.strictObject({
  host: z.string().min(1).default('127.0.0.1'),
  port: z.number().int().min(0).max(65535).default(8080),
  allowed_hosts: z.array(z.string().min(1)).min(1).optional(),
  body_limit_bytes: count.default(2_097_152),
  shutdown_timeout_seconds: z.number().min(0).max(YEAR_SECONDS).default(30),
  approval_secret: z.string().optional(),
})

/** Where records are kept: the keys of every backend; which of them a backend reads is said in backends.ts. */
const backendKeys = {
  backend: z.enum(backendNames).optional(),
  path: z.string().min(1).optional(),
  url: z.string().min(1).optional(),
  prefix: z.string().min(1).optional(),
  region: z.string().min(1).optional(),
  aws_region: z.string().min(1).optional(),
  table_name: z.string().min(1).optional(),
}
const state = z.strictObject({
  ...backendKeys,
  listen_url: z.string().min(1).optional(),
  synchronous: z.enum(['full', 'normal']).default('full'),
  durability: z.enum(['always', 'everysec', 'none', 'managed']).optional(),
})
const audit = z.strictObject({
  enabled: z.boolean().default(true),
  ...backendKeys,
  per_node: z.boolean().default(false),
  store_payload: z.boolean().default(true),
  ttl_seconds: wholeSeconds.optional(),
  redact: z
    .strictObject({
      enabled: z.boolean().default(true),
      fields: z.array(z.string().min(1)).default([]),
      placeholder: z.string().default('[REDACTED]'),
    })
    .prefault({}),
})

/** The keys every provider has, beside those of its type. */
export const providerCommon = z.strictObject({
  name,
  type: z.string().min(1),
  timeout_seconds: seconds.optional(),
  max_retries: z.number().int().min(0).max(100).optional(),
  max_concurrent: count.optional(),
  rate_limit: z
    .strictObject({
      per_second: z.number().positive(),
      burst: z.number().min(1).optional(),
      shared: z.boolean().default(false),
    })
    .optional(),
  lineage: z.boolean().optional(),
})

const rules = z.strictObject({
  directory: z.string().min(1).default('./rules'),
  default_timezone: z.string().min(1).default('UTC'),
  default_provider: name.optional(),
  env: z.array(z.string().min(1)).default([]),
})
const { count: runs, window } = limitShape.shape
const limit = (count: number, span: string) =>
  z.strictObject({ count: runs.default(count), window: window.default(span) }).prefault({})
const hotRules = z.strictObject({
  mode: z.enum(modes).default('warn'),
  internal_mode: z.enum(modes).optional(),
  rule_limit: limit(100, 'PT30S'),
  entity_limit: limit(50, 'PT1M'),
  internal_limit: limit(20, 'PT5M'),
  entity_fields: z.array(z.string().min(1)).default(['payload.device_id', 'payload.entity_id', 'payload.id']),
})
const executor = z.strictObject({
  max_retries: z.number().int().min(0).max(100).default(3),
  timeout_seconds: seconds.default(30),
  deadline_seconds: seconds.default(60),
  max_concurrent: count.default(64),
  backoff_initial_ms: milliseconds.default(200),
  backoff_max_ms: milliseconds.default(10_000),
})

export const breakerShape = z.strictObject({
  failure_threshold: count.optional(),
  success_threshold: count.optional(),
  recovery_timeout_seconds: seconds.optional(),
  fallback_provider: name.optional(),
})
const table = z.custom((v) => typeof v === 'object' && v !== null && !Array.isArray(v), 'expected a table').optional()
const circuitBreaker = z.strictObject({
  enabled: z.boolean().default(true),
  failure_threshold: count.default(5),
  success_threshold: count.default(1),
  recovery_timeout_seconds: seconds.default(60),
  // Each table is read by itself, in breakers.ts: a record would lose the name __proto__.
  providers: table,
})

const chains = z.strictObject({
  definitions: z.array(z.unknown()).default([]),
  default_timeout_seconds: seconds.default(300),
  max_concurrent_advances: count.default(64),
  max_concurrent_per_scope: count.optional(),
  completed_chain_ttl_seconds: wholeSeconds.default(604_800),
})

/** Shorter ones can be guessed, and whoever can sign is believed. */
const signingSecret = z.string().min(16, 'must have at least 16 characters')
const lineage = z.strictObject({
  secret: signingSecret.optional(),
  previous_secrets: z.array(signingSecret).max(8).default([]),
})

const on = z.boolean().default(true)
const background = z.strictObject({
  enabled: on,
  enable_group_flush: on,
  enable_scheduled_actions: on,
  enable_timeout_processing: on,
  enable_recurring_actions: on,
  enable_retention_reaper: on,
  group_flush_interval_seconds: seconds.default(1),
  scheduled_check_interval_seconds: seconds.default(1),
  timeout_check_interval_seconds: seconds.default(10),
  recurring_check_interval_seconds: seconds.default(1),
  cleanup_interval_seconds: seconds.default(60),
  retention_check_interval_seconds: seconds.default(60),
  max_recurring_actions_per_tenant: count.default(100),
  hold_max_attempts: count.default(20),
  hold_max_age_seconds: wholeSeconds.default(86_400),
  namespace: z.string().optional(),
  tenant: z.string().optional(),
})

/**
 * What kinds of values a chain's keys hold, for references (`timeout_seconds = "${WAIT:-300}"`) alone: whether a definition is right
 * is said by chains/parse.ts.
 */
const stepKeys: z.ZodType = z.lazy(() => ofAnyKind)
const { parallel, for_each, ...others } = Object.assign({}, ...Object.values(stepKinds).map((k) => k.shape)) as {
  readonly [key: string]: z.ZodType // each kind's keys are its own
}
const ofAnyKind = z.looseObject({
  ...commonStep,
  ...others,
  // What a kind leaves to be read one by one is named first.
  parallel: z.union([z.looseObject({ branches: z.array(stepKeys) }), parallel!]),
  for_each: z.union([z.looseObject({ step: stepKeys }), for_each!]),
})
export const chainKeys = z.looseObject({ ...chainShape.shape, steps: z.array(stepKeys) })

export const sections = z.strictObject({
  server: server.prefault({}),
  state: state.prefault({}),
  audit: audit.prefault({}),
  providers: z.array(z.unknown()).default([]),
  rules: rules.prefault({}),
  hot_rules: hotRules.prefault({}),
  executor: executor.prefault({}),
  circuit_breaker: circuitBreaker.prefault({}),
  chains: chains.prefault({}),
  lineage: lineage.prefault({}),
  background: background.prefault({}),
  quotas: z.strictObject({ enabled: on }).prefault({}),
  dead_letters: z.strictObject({ forward_to: name.optional(), ttl_seconds: wholeSeconds.optional() }).prefault({}),
})
export type Sections = z.output<typeof sections>
