import { isDeepStrictEqual } from 'node:util'
import type { Env } from '../core/env.ts'
import { showFinding } from '../core/errors.ts'
import type { Routes } from '../delivery/route.ts'
import type { Loops } from '../loops/loop.ts'
import { type Assembled, ChainsNotLoaded } from './assemble.ts'
import { needsRestart } from './config/changes.ts'
import type { BackgroundConfig, Config } from './config/config.ts'
import type { LoadedConfig } from './config/load.ts'
import { breakerTable, closeRoutes } from './routes.ts'

export interface InForceDeps {
  readonly first: Config
  readonly env: Env
  /** Reads the configuration anew. */
  readonly again: () => LoadedConfig
  readonly open: (config: Config) => Routes
  readonly begin: (config: BackgroundConfig) => Loops
  /** Asked for when there is an edit: they are built upon this. */
  readonly parts: () => Pick<Assembled, 'breakers' | 'chains' | 'deliver' | 'rules'>
}

/** The configuration in force, with the providers and loops that are of it. */
export interface InForce {
  readonly config: Config
  readonly routes: Routes
  /** Why what lies on the disk is not what is in force. */
  readonly error: string | undefined
  /** Takes over what the file says now: whole, or nothing changes. One at a time. */
  reload(): Promise<void>
  startLoops(): void
  nudge(loop: string): void
  /** Begins no more background work, and waits for what is in hand, of what edits have replaced too. */
  stopLoops(): Promise<void>
  /** Closes the providers, when those of before are. */
  close(): Promise<void>
}

export function createInForce({ first, env, again, open, begin, parts }: InForceDeps): InForce {
  const { log } = env
  let config = first
  let routes = open(first)
  let loops: Loops | undefined
  let error: string | undefined
  const retiring = new Set<Promise<void>>()

  /**
   * What an edit has replaced ends beside the edits that follow, however slow a delivery is. What nobody uses ends at once, so no more
   * are kept than have work of their own in hand, and no longer than a delivery may take.
   */
  function retire(ending: Promise<unknown>): void {
    const ended = ending
      .catch((err: unknown) => log.error({ err }, 'what an edit has replaced did not end well'))
      .then(() => void retiring.delete(ended))
    retiring.add(ended)
  }

  async function reload(): Promise<void> {
    const loaded = again()
    const errors = loaded.findings.filter((f) => f.severity === 'error')
    if (!loaded.config) {
      error = errors.map(showFinding).join('; ')
      log.error({ findings: errors.map(showFinding) }, 'configuration not loaded; the one of before stays in force')
      return
    }
    const { chains, providers } = loaded.config
    const wrongChains = parts()
      .chains.checkDefinitions(
        chains.definitions,
        providers.map((p) => p.name),
      )
      .filter((i) => i.severity === 'error')
    if (wrongChains.length > 0) {
      error = new ChainsNotLoaded(wrongChains).message
      log.error({ findings: error }, 'configuration not loaded; the one of before stays in force')
      return
    }
    error = undefined
    const fixed = needsRestart(config, loaded.config)
    if (fixed.length > 0) log.warn({ sections: fixed }, 'an edit of these sections needs a restart')
    await takeOver(loaded.config)
  }

  /** Puts the parts of a new configuration in force that need no restart. */
  async function takeOver(next: Config): Promise<void> {
    const { breakers, chains, deliver, rules } = parts()
    const before = { config, routes }
    const taken: Config = {
      ...config,
      providers: next.providers,
      circuitBreaker: next.circuitBreaker,
      chains: next.chains,
      background: next.background,
      hotRules: next.hotRules,
      audit: { ...config.audit, redact: next.audit.redact },
    }
    const opened = open(taken)
    config = taken
    chains.setDefinitions(config.chains.definitions)
    // Rules name providers and chains: an edit that takes one away from under them is refused whole, like a bad rule file.
    const done = await rules.reload()
    if (!done.ok) {
      config = before.config
      chains.setDefinitions(config.chains.definitions)
      error = done.findings.map(showFinding).join('; ')
      log.error({ findings: error }, 'configuration not loaded: rules do not go with it; the one of before stays')
      await Promise.all([rules.reload(), closeRoutes(opened)])
      return
    }
    routes = opened
    breakers.update(breakerTable(config))
    retire(deliver.update(routes).then(() => closeRoutes(before.routes)))
    if (loops && !isDeepStrictEqual(before.config.background, config.background)) {
      const old = loops
      loops = begin(config.background)
      retire(old.stop())
    }
    log.info({ providers: config.providers.length }, 'configuration loaded')
  }

  return {
    get config() {
      return config
    },
    get routes() {
      return routes
    },
    get error() {
      return error
    },
    reload,
    startLoops() {
      loops = begin(config.background)
    },
    nudge: (loop) => loops?.nudge(loop),
    async stopLoops() {
      await Promise.all([loops?.stop(), ...retiring])
    },
    async close() {
      await Promise.all(retiring)
      await closeRoutes(routes)
    },
  }
}
