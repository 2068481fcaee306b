import type { Scope } from '../core/action.ts'
import type { AuditRow } from '../core/audit.ts'
import { isoTime } from '../core/clock.ts'
import type { Env } from '../core/env.ts'
import { type Finding, notFound, showFinding } from '../core/errors.ts'
import { joinParts, sha256 } from '../core/ids.ts'
import type { Ruleset } from '../core/plan.ts'
import type { Redact } from '../core/redact.ts'
import type { Control } from '../core/state.ts'
import type { Beside } from './beside.ts'
import { type CompileContext, compileRules, LACKING, type Rule, type RuleFile } from './compile.ts'
import type { Environment } from './document.ts'
import { Hits } from './hits.ts'
import { countRun, type DispatchedBy, type HotRules } from './limits.ts'
import { type LoadState, type Reloaded, RulesNotLoaded } from './load-state.ts'
import { isAbsent, listRules, noDirectory, noneLeft, readRules } from './loader.ts'
import { type RuleNames, startsOf } from './names.ts'
import { type ReadyRules, readyRules, rulesetOf } from './ruleset.ts'
import { pinnedIn, type Scopes } from './scope-state.ts'
import { scopeSwitches, type Trip, type Tripped } from './scope-switches.ts'
import { dropOverruled, inForce, readSwitches, type Switch } from './switches.ts'
import { type RuleView, ruleView } from './view.ts'
import { watch } from './watcher.ts'

export { type LoadState, type Reloaded, RulesNotLoaded } from './load-state.ts'
export type { RuleNames } from './names.ts'
export type { Trip, Tripped } from './scope-switches.ts'
export type { RuleView } from './view.ts'

export interface Rules {
  current(): Ruleset
  /** Reads the directory again, and what lies beside it: whole, or nothing changes. Never throws. */
  reload(): Promise<Reloaded>
  readonly lastLoad: LoadState
  /** In order of evaluation, as they stand in the scope; left out: in general. */
  list(scope?: Scope): readonly RuleView[]
  get(name: string, scope?: Scope): RuleView | undefined
  /** The chains that rules in force start, switched off or not, each with the first rule that does. */
  starts(): ReadonlyMap<string, string>
  /**
   * Switches a rule by name, durably, on every node: everywhere, or in one scope. Wins until the file's own `enabled` changes. Takes
   * back what `trip` did. Throws Problem 404 for an unknown name, and what the state store throws.
   */
  setEnabled(
    name: string,
    enabled: boolean,
    by: { readonly by: string; readonly why?: string; readonly record?: AuditRow; readonly scope?: Scope },
  ): Promise<RuleView>
  /** Switches a rule off in a scope, where one of its runs was over a limit: durably, on every node, until `setEnabled`. */
  trip(trip: Trip): Promise<Tripped>
  /** Compiles a rule file's text beside nothing else and changes nothing. The environment is not read: `${…}` may stand for anything. */
  check(text: string): readonly Finding[]
  /** Counts a hit of each rule. `now` in milliseconds. A released action's plan begins with what had matched before: leave that out. */
  hit(names: readonly string[], now: number): void
  /** Begins and ends watching the directory. */
  start(): void
  stop(): void
}

export interface OpenRules {
  readonly directory: string
  /** Nobody named the directory: without it the gateway begins with no rules, until it is there. */
  readonly mayBeAbsent?: boolean
  /** Those of the first load, of every load where nothing lies beside the rules, and of `check`. */
  readonly names: () => RuleNames
  /** Reads what lies beside the rules, at every load but the first. Left out, and undefined: nothing does. */
  readonly beside?: () => Beside | undefined
  readonly env: Env
  /** The topics `rules` and `rule_scopes`. */
  readonly control: Control
  readonly scopeControl: Control
  /** Read at every load. */
  readonly hotRules: () => HotRules
  /** Asked at each dispatch. */
  readonly dispatchedBy: DispatchedBy
  /** For `${…}` in rule files, and behind `env.NAME`. */
  readonly processEnv: Environment
  readonly defaults: {
    readonly timezone: string
    /** The allow-listed names of `env.NAME`. */
    readonly envNames: readonly string[]
    /** What a trace may show of values. */
    readonly redact: Redact
  }
}

interface Loaded {
  readonly rules: readonly Rule[]
  /** Of the files, and what they took from the environment. */
  readonly content: string
  readonly at: number
  readonly defaultProvider: string | undefined
}

/**
 * Loads the directory. Throws RulesNotLoaded when it is not there and must be, or anything in it is wrong. Not so a chain that nobody
 * has defined yet: whoever would define it by the API needs a gateway that has started.
 */
export async function openRules(options: OpenRules): Promise<Rules> {
  const { directory, env, control } = options
  const { clock, log } = env
  const scoped = scopeSwitches(options.scopeControl, log, env.newId)
  const hits = new Hits()
  let loaded: Loaded = { rules: [], content: '', at: clock.now(), defaultProvider: undefined }
  let ready: ReadyRules
  let set: Ruleset
  let switches = readSwitches(control, log)
  let byName: ReadonlyMap<string, Rule> = new Map()
  let starts: ReadonlyMap<string, string> = new Map()
  /** Chains that were not there at the load of the rules in force: an edit of something else is not refused for them. */
  let missing: ReadonlySet<string> = new Set()
  let fingerprint = ''
  let lastLoad: LoadState = { at: clock.now(), ok: true, findings: [] }
  /** How many rules there were, when there were any. */
  let most = 0
  /** Once it was there, its going away empties nothing. */
  let mayBeAbsent = options.mayBeAbsent === true

  const isEnabled = (rule: Rule): boolean => inForce(rule, switches)?.enabled ?? rule.enabled
  const context = (
    names = options.names(),
    mayLack = (chain: string): boolean => missing.has(chain),
  ): CompileContext => ({
    names,
    timezone: options.defaults.timezone,
    envNames: options.defaults.envNames,
    environment: options.processEnv,
    redact: options.defaults.redact,
    withoutChain: (chain) => (mayLack(chain) ? LACKING : undefined),
  })

  /** A new immutable set: whoever holds the old one finishes on it. */
  function assemble(scopes: Scopes = scoped.states(byName, isEnabled)): Ruleset {
    const off = loaded.rules.filter((r) => !isEnabled(r)).map((r) => r.name)
    const version = sha256(joinParts([loaded.content, ...off.sort(), ...scoped.fingerprint()])).slice(0, 12)
    const { at: loadedAt, defaultProvider } = loaded
    set = rulesetOf(ready, { version, loadedAt, defaultProvider, scopes })
    return set
  }
  /** The rules that are on anywhere, made ready to be asked: dear where they are many, so a switch of one scope does it only if it must. */
  function makeReady(): Ruleset {
    const scopes = scoped.states(byName, isEnabled)
    const pinned = pinnedIn(scopes)
    const hot = options.hotRules()
    ready = readyRules(loaded.rules, {
      isEnabled,
      isPinned: (rule) => pinned.has(rule.name),
      countRun: (rule) => countRun(rule, hot, options.dispatchedBy),
    })
    return assemble(scopes)
  }
  function scopesChanged(): void {
    const scopes = scoped.states(byName, isEnabled)
    const live = new Set(ready.live.map((l) => l.rule.name))
    if (pinnedIn(scopes).isSubsetOf(live)) assemble(scopes)
    else makeReady()
  }

  async function load(first = false): Promise<Reloaded> {
    const findings: Finding[] = []
    let files: readonly RuleFile[] = []
    try {
      // The fingerprint is of before the reading: an edit in between is seen by the next look.
      const listing = await listRules(directory)
      fingerprint = listing.fingerprint
      mayBeAbsent = false
      files = await readRules(listing.files, findings)
    } catch (e) {
      fingerprint = UNREADABLE
      findings.push(noDirectory(directory, e, mayBeAbsent && isAbsent(e)))
    }
    // From here on nothing is waited for until all is in force: what was judged is what takes effect.
    const beside = first ? undefined : options.beside?.()
    findings.push(...(beside?.errors ?? []))
    const ctx = first ? context(undefined, () => true) : context(beside?.names)
    const compiled = isWrong(findings) ? undefined : compileRules(files, ctx)
    findings.push(...(compiled?.findings ?? []))
    if (!isWrong(findings)) findings.push(...(beside?.take() ?? []))
    if (compiled?.rules.length === 0 && fingerprint !== UNREADABLE && !isWrong(findings))
      findings.push(...noneLeft(directory, files.length, most))
    const at = clock.now()
    const ok = compiled !== undefined && !isWrong(findings)
    lastLoad = { at, ok, findings }
    if (!ok) {
      const told = beside?.refuse(findings.filter(isError)) ?? first
      if (!told) log.error({ findings: findings.map(showFinding) }, 'rules not loaded; those of before stay in force')
      return { ok, findings }
    }
    const content = joinParts([...files.flatMap((f) => [f.file, f.text]), ...compiled.references])
    loaded = { rules: compiled.rules, content, at, defaultProvider: ctx.names.defaultProvider }
    most = compiled.rules.length || most
    byName = new Map(compiled.rules.map((r) => [r.name, r]))
    starts = startsOf(compiled.rules)
    missing = new Set(starts.keys()).difference(new Set(ctx.names.chains))
    makeReady()
    // Only now: an overruled switch has no effect on these rules, but would be missed by those of before.
    await dropOverruled(control, byName, switches, log)
    await scoped.dropOverruled(byName)
    switches = readSwitches(control, log)
    return { ok, version: set.version, warnings: findings }
  }

  const warn = (findings: readonly Finding[]): void => {
    for (const w of findings) log.warn({ finding: showFinding(w) }, 'a warning about the rules')
  }
  // One load at a time, so that the last one asked for is the last to take effect.
  let queue: Promise<unknown> = Promise.resolve()
  function reload(): Promise<Reloaded> {
    const next = queue.then(() => load())
    queue = next.catch(() => undefined) // its caller has the error; the next load must not
    return next.then((done) => {
      if (done.ok) {
        log.info({ version: done.version, rules: loaded.rules.length }, 'rules loaded')
        warn(done.warnings)
      }
      return done
    })
  }

  const first = await load(true)
  if (!first.ok) throw new RulesNotLoaded(first.findings)
  warn(first.warnings)
  const unsubscribe = [
    control.subscribe(() => {
      switches = readSwitches(control, log)
      makeReady()
    }),
    options.scopeControl.subscribe(scopesChanged),
    scoped.stop,
  ]
  const watcher = watch(
    clock,
    () =>
      listRules(directory).then(
        (l) => l.fingerprint,
        () => UNREADABLE,
      ),
    () => reload().then(() => undefined),
    () => fingerprint,
    (e) => log.error({ error: e instanceof Error ? e.message : String(e) }, 'looking for changed rules failed'),
  )

  const view = (rule: Rule, scope?: Scope): RuleView => {
    const here = scope && scoped.at(rule.name, scope)
    return ruleView(rule, inForce(rule, switches), here, scoped.of(rule.name), hits.of(rule.name))
  }

  return {
    current: () => set,
    reload,
    get lastLoad() {
      return lastLoad
    },
    list: (scope) => loaded.rules.map((r) => view(r, scope)),
    get(name, scope) {
      const rule = byName.get(name)
      return rule && view(rule, scope)
    },
    starts: () => starts,
    async setEnabled(name, enabled, { by, why, record, scope }) {
      const rule = byName.get(name)
      if (!rule) throw notFound(`rule "${name}"`)
      const said = { by, at: isoTime(clock.now()), ...(why !== undefined && { why }) }
      if (scope) await scoped.set(rule, scope, enabled, { ...said, ...(record && { record }) }, isEnabled(rule))
      else {
        const value: Switch = { enabled, ...said, file_enabled: rule.enabled }
        await control.put(name, JSON.stringify(value), record ? { record } : {})
        await scoped.everywhere(name, enabled)
      }
      switches = readSwitches(control, log)
      makeReady()
      return view(byName.get(name) ?? rule, scope)
    },
    trip: (t) => scoped.trip(t),
    // Findings quote what they are about, and the text is a caller's: it never meets the environment.
    check: (text) => compileRules([{ file: 'rules.yaml', text }], { ...context(), environment: undefined }).findings,
    hit: (names, now) => hits.count(names, now),
    start: () => watcher.start(),
    stop() {
      watcher.stop()
      for (const end of unsubscribe) end()
    },
  }
}
const UNREADABLE = 'unreadable'
const isError = (f: Finding): boolean => f.severity === 'error'
const isWrong = (findings: readonly Finding[]): boolean => findings.some(isError)
