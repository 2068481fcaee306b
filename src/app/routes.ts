import type { Env } from '../core/env.ts'
import type { Provider } from '../core/provider.ts'
import type { BreakerSettings, BreakerTable } from '../delivery/breaker-view.ts'
import type { Route, Routes } from '../delivery/route.ts'
import { providerTypes } from '../providers/index.ts'
import type { Config, ProviderConfig } from './config/config.ts'

/** Opens a configured provider. Throws when its type is not built, which a loaded configuration rules out. */
export type OpenProvider = (configured: ProviderConfig, env: Env) => Provider

export const openProvider: OpenProvider = (configured, env) => {
  const type = providerTypes.find((t) => t.type === configured.type)
  if (!type) throw new Error(`there is no provider type "${configured.type}"`)
  return type.open(configured.name, configured.config, env)
}

export function openRoutes(config: Config, env: Env, open: OpenProvider): Routes {
  return new Map(
    config.providers.map((p): [string, Route] => {
      const fallback = config.circuitBreaker.enabled
        ? config.circuitBreaker.providers.get(p.name)?.fallbackProvider
        : undefined
      const route: Route = {
        provider: open(p, env),
        timeoutMs: p.timeoutSeconds * 1000,
        maxRetries: p.maxRetries,
        maxConcurrent: p.maxConcurrent,
        ...(p.rateLimit && { rateLimit: p.rateLimit }),
        lineage: p.lineage,
        ...(fallback !== undefined && { fallback }),
      }
      return [p.name, route]
    }),
  )
}

export const closeRoutes = (routes: Routes): Promise<unknown> =>
  Promise.all([...routes.values()].map((r) => r.provider.close()))

/** Empty where breakers are off: a provider without settings is always admitted. */
export function breakerTable(config: Config): BreakerTable {
  if (!config.circuitBreaker.enabled) return new Map()
  return new Map(
    [...config.circuitBreaker.providers].map(([name, b]): [string, BreakerSettings] => [
      name,
      {
        failureThreshold: b.failureThreshold,
        successThreshold: b.successThreshold,
        recoveryMs: b.recoveryTimeoutSeconds * 1000,
        ...(b.fallbackProvider !== undefined && { fallback: b.fallbackProvider }),
      },
    ]),
  )
}
