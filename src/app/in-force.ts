import { basename } from 'node:path'
import { isDeepStrictEqual } from 'node:util'
import type { Env } from '../core/env.ts'
import { type Finding, showFinding } from '../core/errors.ts'
import type { Routes } from '../delivery/route.ts'
import type { Loops } from '../loops/loop.ts'
import type { Beside } from '../rules/beside.ts'
import { type Assembled, chainProblem } from './assemble.ts'
import { needsRestart } from './config/changes.ts'
import type { BackgroundConfig, Config } from './config/config.ts'
import { nameOf } from './config/draft.ts'
import type { LoadedConfig } from './config/load.ts'
import { fingerprint } from './reload.ts'
import { breakerTable, closeRoutes } from './routes.ts'
import { ruleNames } from './rule-names.ts'

export interface InForceDeps {
  readonly first: Config
  /** What its file had to say beside. */
  readonly warned: readonly Finding[]
  /** The fingerprint of its file. */
  readonly loaded: string
  readonly env: Env
  /** Reads the configuration anew. */
  readonly again: () => LoadedConfig
  readonly open: (config: Config) => Routes
  readonly begin: (config: BackgroundConfig) => Loops
  /** Asked for when there is an edit: they are built upon this. */
  readonly parts: () => Pick<Assembled, 'breakers' | 'chains' | 'deliver'>
}

/** The configuration in force, with the providers and loops that are of it. */
export interface InForce {
  readonly config: Config
  readonly routes: Routes
  /** Why what lies on the disk is not what is in force. */
  readonly error: string | undefined
  /** What the file in force has to say that is no error. */
  readonly warnings: readonly string[]
  /** The sections of it that an edit has changed and only a start reads. */
  readonly waiting: readonly string[]
  /** The fingerprint of the file as it was read last. */
  readonly seen: string
  /** Reads what the file says now, to be judged and taken over together with the rules. Undefined: there is no file. */
  beside(): Beside | undefined
  startLoops(): void
  nudge(loop: string): void
  /** Begins no more background work, and waits for what is in hand, of what edits have replaced too. */
  stopLoops(): Promise<void>
  /** Closes the providers, when those of before are. */
  close(): Promise<void>
}

export function createInForce({ first, warned, loaded, env, again, open, begin, parts }: InForceDeps): InForce {
  const { log } = env
  let config = first
  let routes = open(first)
  let loops: Loops | undefined
  let error: string | undefined
  let warnings: readonly string[] = warned.map(showFinding)
  let waiting: readonly string[] = []
  let seen = loaded
  let stopped = false
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

  const fault = (message: string): Finding => {
    const file = basename(first.file ?? 'gateway.toml')
    return { file, line: 0, column: 0, severity: 'error', message }
  }

  function beside(): Beside | undefined {
    if (first.file === undefined) return undefined
    const print = fingerprint(first.file) // before the reading: an edit in between is seen by the next look
    const edited = print !== seen
    seen = print
    const { config: next, findings } = again()
    const { chains } = parts()
    if (!next) return refused(findings.filter((f) => f.severity === 'error'))
    // A file that is being written has nothing in it for a moment, and a pipe has nothing the second time.
    if (next.providers.length === 0 && config.providers.length > 0)
      return refused([fault(`no provider is left of ${config.providers.length}; a restart takes it, if that is meant`)])
    const fixed = needsRestart(config, next)
    if (edited && fixed.length > 0) log.warn({ sections: fixed }, 'an edit of these sections needs a restart')
    const taken = takenOf(config, next)
    const made = chains.definitions().filter((d) => d.source === 'api')
    const names = [...made.map((d) => d.name), ...taken.chains.definitions.flatMap((d) => nameOf(d) ?? [])]
    const issues = chains.checkDefinitions(
      taken.chains.definitions,
      taken.providers.map((p) => p.name),
    )
    const same = isDeepStrictEqual(taken, config)
    function note(): void {
      const said = findings.map(showFinding)
      const news = said.filter((w) => !warnings.includes(w))
      if (news.length > 0) log.warn({ findings: news }, 'the configuration has warnings')
      // What chains of the API lack has no place in the file. The log has it from the definitions.
      warnings = [...said, ...issues.filter((i) => i.path.length === 0).map((i) => i.message)]
      waiting = fixed
    }
    return {
      errors: issues.filter((i) => i.severity === 'error').map((i) => fault(chainProblem(i))),
      names: ruleNames(taken, names),
      take() {
        const refusal = same ? stays() : takeOver(taken)
        if (refusal.length === 0) note()
        return refusal
      },
      refuse(errors) {
        if (!same) return refuse(errors)
        stays()
        return false
      },
    }
  }
  const refused = (errors: readonly Finding[]): Beside => ({
    errors,
    names: ruleNames(config, parts().chains.names()),
    take: () => errors,
    refuse,
  })
  function refuse(errors: readonly Finding[]): boolean {
    error = errors.map(showFinding).join('; ')
    log.error(
      { findings: errors.map(showFinding) },
      'configuration and rules not loaded; those of before stay in force',
    )
    return true
  }
  /** What lies on the disk is in force already. */
  function stays(): readonly Finding[] {
    error = undefined
    return []
  }

  function takeOver(taken: Config): readonly Finding[] {
    if (stopped) return [fault('the gateway is stopping')]
    const { breakers, chains, deliver } = parts()
    const before = { config, routes }
    try {
      routes = open(taken)
    } catch (e) {
      return [fault(e instanceof Error ? e.message : String(e))]
    }
    config = taken
    error = undefined
    chains.setDefinitions(config.chains.definitions)
    breakers.update(breakerTable(config))
    retire(deliver.update(routes).then(() => closeRoutes(before.routes)))
    if (loops && !isDeepStrictEqual(before.config.background, config.background)) {
      const old = loops
      loops = begin(config.background)
      retire(old.stop())
    }
    log.info({ providers: config.providers.length }, 'configuration loaded')
    return []
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
    get warnings() {
      return warnings
    },
    get waiting() {
      return waiting
    },
    get seen() {
      return seen
    },
    beside,
    startLoops() {
      loops = begin(config.background)
    },
    nudge: (loop) => loops?.nudge(loop),
    async stopLoops() {
      stopped = true // nobody would stop what an edit begins from now on
      await Promise.all([loops?.stop(), ...retiring])
    },
    async close() {
      await Promise.all(retiring)
      await closeRoutes(routes)
    },
  }
}

/**
 * What is in force after an edit: the parts that need no restart, beside those of the start. All that names a provider is of the
 * edit, as it was checked against the providers of the edit.
 */
const takenOf = (config: Config, next: Config): Config => ({
  ...config,
  rules: { ...config.rules, defaultProvider: next.rules.defaultProvider },
  deadLetters: { ...config.deadLetters, forwardTo: next.deadLetters.forwardTo },
  providers: next.providers,
  circuitBreaker: next.circuitBreaker,
  chains: next.chains,
  background: next.background,
  hotRules: next.hotRules,
  audit: { ...config.audit, redact: next.audit.redact },
})
