import { join, resolve } from 'node:path'
import { type HotRules, readLimit } from '../../rules/limits.ts'
import { backendOf } from './backends.ts'
import { readBreakers } from './breakers.ts'
import { camelKeys } from './camel.ts'
import type { AuditConfig, CircuitBreakerConfig, Config, ProviderConfig, StateConfig } from './config.ts'
import type { Draft } from './draft.ts'
import { readProviders } from './providers.ts'
import { type Sections, sections } from './schema.ts'

const DEFAULT_DATABASE = join('data', 'signalbox.db')

/**
 * The sections as the rest of the gateway knows them. Without `parsed` (some section is wrong) the providers are still read, for
 * their findings, over the default executor.
 */
export function buildConfig(draft: Draft, parsed: Sections | undefined, file: string | undefined): Config | undefined {
  const executor = camelKeys((parsed ?? sections.parse({})).executor)
  const providers = readProviders(draft, executor)
  const breakers = readBreakers(draft)
  if (!parsed) return undefined
  const under = (path: string) => resolve(draft.directory, path)
  const state = stateConfig(draft, parsed, under)
  return {
    file,
    directory: draft.directory,
    server: {
      host: parsed.server.host,
      port: parsed.server.port,
      allowedHosts: parsed.server.allowed_hosts,
      bodyLimitBytes: parsed.server.body_limit_bytes,
      shutdownTimeoutSeconds: parsed.server.shutdown_timeout_seconds,
    },
    state,
    audit: auditConfig(draft, parsed, state, under),
    providers,
    rules: {
      directory: under(parsed.rules.directory),
      defaultTimezone: parsed.rules.default_timezone,
      defaultProvider: parsed.rules.default_provider,
      env: parsed.rules.env,
    },
    hotRules: hotRulesConfig(parsed),
    executor,
    circuitBreaker: breakerConfig(parsed, providers, breakers),
    chains: camelKeys(parsed.chains),
    lineage: { secret: parsed.lineage.secret, previousSecrets: parsed.lineage.previous_secrets },
    background: camelKeys(parsed.background),
    quotas: parsed.quotas,
    deadLetters: { forwardTo: parsed.dead_letters.forward_to, ttlSeconds: parsed.dead_letters.ttl_seconds },
  }
}

function stateConfig(draft: Draft, { state }: Sections, under: (path: string) => string): StateConfig {
  return {
    backend: backendOf(draft, 'state'),
    path: under(state.path ?? DEFAULT_DATABASE),
    synchronous: state.synchronous,
    url: state.url,
    listenUrl: state.listen_url,
    region: state.region ?? state.aws_region,
    tableName: state.table_name,
    prefix: state.prefix,
    durability: state.durability,
  }
}

function auditConfig(
  draft: Draft,
  { audit }: Sections,
  state: StateConfig,
  under: (path: string) => string,
): AuditConfig {
  return {
    enabled: audit.enabled,
    backend: backendOf(draft, 'audit'),
    path: audit.path === undefined ? state.path : under(audit.path),
    url: audit.url,
    prefix: audit.prefix,
    region: audit.region ?? audit.aws_region,
    tableName: audit.table_name,
    storePayload: audit.store_payload,
    ttlSeconds: audit.ttl_seconds,
    redact: audit.redact,
  }
}

function hotRulesConfig({ hot_rules: h }: Sections): HotRules {
  return {
    mode: h.mode,
    // Who has switched the general limits off means all of them.
    internalMode: h.internal_mode ?? (h.mode === 'off' ? 'off' : 'disable'),
    ruleLimit: readLimit(h.rule_limit),
    entityLimit: readLimit(h.entity_limit),
    internalLimit: readLimit(h.internal_limit),
    entityFields: h.entity_fields,
  }
}

function breakerConfig(
  { circuit_breaker: section }: Sections,
  providers: readonly ProviderConfig[],
  breakers: ReturnType<typeof readBreakers>,
): CircuitBreakerConfig {
  const { enabled, failureThreshold, successThreshold, recoveryTimeoutSeconds } = camelKeys(section)
  const common = { failureThreshold, successThreshold, recoveryTimeoutSeconds }
  const settings = providers.map(
    ({ name }) => [name, { ...common, fallbackProvider: undefined, ...breakers.get(name) }] as const,
  )
  return { enabled, ...common, providers: new Map(settings) }
}
