import type { RedactConfig } from '../../core/redact.ts'
import type { HotRules } from '../../rules/limits.ts'
import type { StoreSettings } from '../../state/opened.ts'

/**
 * The gateway's configuration after parsing: defaults filled in, references expanded, paths absolute, names checked. Times carry
 * their unit in the name, as in the file. Made by `loadConfig` only.
 */
export interface Config {
  /** Absolute; undefined when there is no file. */
  readonly file: string | undefined
  /** Absolute; what relative paths were resolved against. */
  readonly directory: string
  readonly server: ServerConfig
  readonly state: StateConfig
  readonly audit: AuditConfig
  /** In file order; never empty without a file (then: one `log` provider named `log`). */
  readonly providers: readonly ProviderConfig[]
  readonly rules: RulesConfig
  readonly hotRules: HotRules
  readonly executor: ExecutorConfig
  readonly circuitBreaker: CircuitBreakerConfig
  readonly chains: ChainsConfig
  readonly lineage: LineageConfig
  readonly background: BackgroundConfig
  readonly quotas: { readonly enabled: boolean }
  readonly deadLetters: { readonly forwardTo: string | undefined; readonly ttlSeconds: number | undefined }
}

export interface ServerConfig {
  readonly host: string
  /** 0 = any free port. */
  readonly port: number
  /** Undefined: the loopback names on a loopback bind, else any. */
  readonly allowedHosts: readonly string[] | undefined
  readonly bodyLimitBytes: number
  readonly shutdownTimeoutSeconds: number
}

export const backendNames = ['sqlite', 'redis', 'postgres', 'dynamodb'] as const
export type BackendName = (typeof backendNames)[number]

/** The path is absolute. */
export interface StateConfig extends StoreSettings {
  readonly backend: BackendName
}

export interface AuditConfig {
  readonly enabled: boolean
  readonly backend: BackendName
  /** The SQLite file, absolute: that of the state when both are sqlite. */
  readonly path: string
  readonly url: string | undefined
  readonly region: string | undefined
  readonly tableName: string | undefined
  readonly prefix: string | undefined
  readonly storePayload: boolean
  /** Undefined: kept for ever, unless a retention policy says otherwise. */
  readonly ttlSeconds: number | undefined
  readonly redact: RedactConfig
}

export interface ProviderConfig {
  readonly name: string
  readonly type: string
  /** Over [executor]. */
  readonly timeoutSeconds: number
  readonly maxRetries: number
  readonly maxConcurrent: number
  readonly rateLimit: RateLimitConfig | undefined
  /** What leaves here carries its lineage. */
  readonly lineage: boolean
  /** The type's own keys, parsed by its schema: hand it to the type's `open`. */
  readonly config: unknown
}
export interface RateLimitConfig {
  readonly perSecond: number
  /** Tokens the bucket holds; defaults to one second's worth, at least 1. */
  readonly burst: number
  /** One bucket for all nodes instead of one each. */
  readonly shared: boolean
}

export interface RulesConfig {
  /** Absolute. */
  readonly directory: string
  readonly defaultTimezone: string
  readonly defaultProvider: string | undefined
  /** Names `env.NAME` may read. */
  readonly env: readonly string[]
}

export interface ExecutorConfig {
  readonly maxRetries: number
  readonly timeoutSeconds: number
  readonly deadlineSeconds: number
  readonly maxConcurrent: number
  readonly backoffInitialMs: number
  readonly backoffMaxMs: number
}

export interface BreakerConfig {
  readonly failureThreshold: number
  readonly successThreshold: number
  readonly recoveryTimeoutSeconds: number
}
export interface CircuitBreakerConfig extends BreakerConfig {
  readonly enabled: boolean
  /** Every configured provider, by name, with the section's own settings filled in. Fallbacks exist and form no cycle. */
  readonly providers: ReadonlyMap<string, BreakerConfig & { readonly fallbackProvider: string | undefined }>
}

export interface ChainsConfig {
  /** As written (references expanded), checked by `chains/definition.ts`. */
  readonly definitions: readonly unknown[]
  readonly defaultTimeoutSeconds: number
  readonly maxConcurrentAdvances: number
  /** Undefined: no limit. */
  readonly maxConcurrentPerScope?: number | undefined
  readonly completedChainTtlSeconds: number
}

export interface LineageConfig {
  /** Undefined: made once, and kept in the store. */
  readonly secret: string | undefined
  readonly previousSecrets: readonly string[]
}

export interface BackgroundConfig {
  readonly enabled: boolean
  readonly enableGroupFlush: boolean
  readonly enableScheduledActions: boolean
  readonly enableTimeoutProcessing: boolean
  readonly enableRecurringActions: boolean
  readonly enableRetentionReaper: boolean
  readonly groupFlushIntervalSeconds: number
  readonly scheduledCheckIntervalSeconds: number
  readonly timeoutCheckIntervalSeconds: number
  readonly recurringCheckIntervalSeconds: number
  readonly cleanupIntervalSeconds: number
  readonly retentionCheckIntervalSeconds: number
  readonly maxRecurringActionsPerTenant: number
  readonly holdMaxAttempts: number
  readonly holdMaxAgeSeconds: number
}
