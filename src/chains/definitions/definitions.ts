import { isoTime } from '../../core/clock.ts'
import type { Env } from '../../core/env.ts'
import { notFound, Problem } from '../../core/errors.ts'
import type { Json, JsonObject } from '../../core/json.ts'
import { didYouMean } from '../../core/nearest.ts'
import type { Control, ControlDoc, StateStore } from '../../core/state.ts'
import type { Chains, DefinitionView } from '../chains.ts'
import type { BranchTests, ChainDefinition } from '../model/definition.ts'
import type { AuditPolicy } from '../model/records.ts'
import { closure, subChainsOf } from './check-sub-chains.ts'
import { versionOf } from './compile.ts'
import { changedRow } from './definition-record.ts'
import { orphans } from './orphans.ts'
import { type ParsedDefinitions, parseChainDefinitions } from './parse.ts'
import { parseNamed } from './parse-named.ts'
import { GUARD, GUARD_VALUE, readStored, type Stored, storedDefinitions } from './stored.ts'
import { createSwitches } from './switches.ts'
import { createVersions, type Version } from './versions.ts'

export interface DefinitionsDeps {
  readonly state: StateStore
  readonly env: Env
  /** `state.control('chains')`: the definitions made through the API, by name. */
  readonly control: Control
  /** `state.control('chain_switches')`: chains switched on and off by hand. */
  readonly switches: Control
  readonly tests: BranchTests
  /** Names of the providers in force. */
  readonly providers: () => Iterable<string>
  /** A rule in force that starts the chain. */
  readonly startedBy: (chain: string) => string | undefined
  readonly audit: () => AuditPolicy
}
type Api = Pick<
  Chains,
  | 'names'
  | 'has'
  | 'disabled'
  | 'checkDefinitions'
  | 'setDefinitions'
  | 'definitions'
  | 'definition'
  | 'putDefinition'
  | 'deleteDefinition'
  | 'versions'
  | 'version'
  | 'rollback'
  | 'setEnabled'
>
export interface Definitions {
  readonly api: Api
  /** What an execution of it begins with: the chain and every sub-chain it can reach. Undefined: one is missing, or it is switched off. */
  closureOf(name: string): readonly ChainDefinition[] | undefined
}
/** A definition in force; whether it is switched off is asked for each time. */
type InForce = Omit<DefinitionView, 'enabled' | 'disabled_by' | 'disable_details'>

/** The definitions in force: the file's, and those made through the API. A name is defined in one place only. */
export function createDefinitions(deps: DefinitionsDeps): Definitions {
  const { state, env, control, tests, providers } = deps
  const versions = createVersions(state, env.newId)
  const switches = createSwitches(deps.switches, env)
  let file: ReadonlyMap<string, InForce> = new Map()
  let made: ReadonlyMap<string, InForce> = new Map()
  // Asked for at every start.
  const closures = new Map<string, readonly ChainDefinition[] | undefined>()
  const read = () => {
    made = new Map(storedDefinitions(control).map((stored) => [stored.definition.name, madeOf(stored)]))
    closures.clear()
  }
  read()
  control.subscribe((id) => {
    if (id !== GUARD) read()
  })

  const find = (name: string): InForce | undefined => file.get(name) ?? made.get(name)
  const all = (): readonly InForce[] =>
    [...file.values(), ...made.values()].sort((a, b) => (a.name < b.name ? -1 : a.name > b.name ? 1 : 0))
  function whole(name: string): readonly ChainDefinition[] | undefined {
    if (!closures.has(name) && find(name))
      closures.set(
        name,
        closure(name, (n) => find(n)?.definition),
      )
    return closures.get(name)
  }
  const offered = (name: string): InForce => {
    const found = find(name)
    if (found) return found
    const near = didYouMean(
      name,
      all().map((d) => d.name),
    )
    throw notFound('chain definition of this name', near)
  }
  const view = (d: InForce): DefinitionView => {
    const defined = d.definition.enabled !== false
    const hand = switches.inForce(d.name, defined)
    const off = hand && !hand.enabled
    return {
      ...d,
      enabled: hand?.enabled ?? defined,
      ...(off && {
        disabled_by: hand.by,
        disable_details: { at: hand.at, ...(hand.why !== undefined && { why: hand.why }) },
      }),
    }
  }
  const disabled = (name: string): boolean => {
    const found = find(name)
    if (!found) return false
    const defined = found.definition.enabled !== false
    return !(switches.inForce(name, defined)?.enabled ?? defined)
  }
  const dropOverruled = () =>
    switches.dropOverruled((name) => {
      const found = find(name)
      return found && found.definition.enabled !== false
    })
  const parse = (raw: readonly unknown[], others: Iterable<InForce>, known = providers()): ParsedDefinitions =>
    parseChainDefinitions(raw, { providers: known, tests, others: [...others].map((v) => v.definition) })

  /** The file's definitions beside those made through the API, some of which may need a chain or provider that goes. */
  function parseFile(raw: readonly unknown[], known = providers()): ParsedDefinitions {
    const names = { providers: [...known], tests }
    const parsed = parse(raw, made.values(), names.providers)
    const mine = [...made.values()].map((v) => v.definition)
    const missing = orphans(mine, parsed.definitions, names)
    return { ...parsed, issues: [...parsed.issues, ...missing] }
  }
  /** One definition beside all others; throws Problem 422 with pointers. */
  const parseOne = (name: string, body: Json) => {
    const others = all().filter((v) => v.name !== name)
    return parseNamed(name, body, (raw) => parse(raw, others))
  }
  function inFile(name: string): void {
    if (file.has(name)) throw new Problem(409, 'chain_in_file', `chain "${name}" is defined in the configuration file`)
  }
  function matches(current: InForce | undefined, ifVersion: string | null | undefined): void {
    if (ifVersion !== undefined && ifVersion !== (current?.version ?? null))
      throw new Problem(412, 'version_mismatch', 'the chain has another version now')
  }
  /** Taken before the others are looked at, and put with the change: it fails if any of them has changed since. */
  const guard = () => ({ id: GUARD, value: GUARD_VALUE, ifVersion: control.get(GUARD)?.version ?? null })
  /** The change was refused: it is looked at once more beside what there is now, unless it is this chain that was changed. */
  function again<T>(name: string, was: string | undefined, change: () => Promise<T>): Promise<T> {
    if (control.get(name)?.version !== was) throw raced()
    return change()
  }
  const raced = () => new Problem(412, 'version_mismatch', 'the chain was changed by somebody else meanwhile')
  const record = (by: string, details: JsonObject) =>
    deps.audit().enabled && { record: changedRow(env, deps.audit().redact, by, details) }

  /**
   * Puts a definition in force, unless it is; the version before stays to be gone back to. Undefined: others have changed since it was
   * looked at beside them.
   */
  async function putInForce(
    name: string,
    definition: ChainDefinition,
    by: string,
    how: { readonly doc: ControlDoc | undefined; readonly beside: ReturnType<typeof guard>; rolledBack: boolean },
  ) {
    const { doc, beside, rolledBack } = how
    const before = doc && madeOf(readStored(doc))
    const version = versionOf(definition)
    if (before?.version === version) return { view: view(before), created: false }
    const stored: Stored = { definition, updated_at: isoTime(env.clock.now()), updated_by: by }
    const from = before && { previous_version: before.version }
    const next: Version = {
      name,
      version,
      ...stored,
      ...(rolledBack && before && { rolled_back_from: before.version }),
    }
    const done = await control.put(name, JSON.stringify(stored), {
      ifVersion: doc?.version ?? null,
      beside,
      also: await versions.putOps(next, before),
      ...record(by, { name, version, ...from, ...(rolledBack && { rolled_back: true }) }),
    })
    if (!done) return undefined
    await dropOverruled()
    return { view: view(madeOf(stored)), created: before === undefined }
  }

  const self: Definitions = {
    closureOf: (name) => (disabled(name) ? undefined : whole(name)),
    api: {
      names: () => all().map((v) => v.name),
      has: (name) => whole(name) !== undefined,
      disabled,
      definitions: () => all().map(view),
      definition(name) {
        const found = find(name)
        return found && view(found)
      },
      checkDefinitions: (raw, known) => parseFile(raw, known).issues,
      setDefinitions(raw) {
        const parsed = parseFile(raw)
        if (!parsed.issues.some((i) => i.severity === 'error')) {
          file = new Map(parsed.definitions.map((d) => [d.name, { ...about(d), source: 'file' }]))
          closures.clear()
          // Those of the file have a place there, and are said with it.
          for (const i of parsed.issues.filter((x) => x.path.length === 0))
            env.log.warn({ finding: i.message }, 'a chain made through the API lacks something')
          void dropOverruled()
        }
        return parsed.issues
      },
      async putDefinition(name, body, by, ifVersion) {
        inFile(name)
        const how = { doc: control.get(name), beside: guard(), rolledBack: false }
        matches(made.get(name), ifVersion)
        const { definition, warnings } = parseOne(name, body)
        const done = await putInForce(name, definition, by, how)
        return done
          ? { ...done, warnings }
          : again(name, how.doc?.version, () => self.api.putDefinition(name, body, by, ifVersion))
      },
      async deleteDefinition(name, by, ifVersion) {
        inFile(name)
        const before = made.get(name)
        const doc = control.get(name)
        const beside = guard()
        if (!before || !doc) throw notFound('chain definition')
        matches(before, ifVersion)
        const user = all().find((v) => v.name !== name && subChainsOf(v.definition).some((sub) => sub.name === name))
        if (user) throw new Problem(409, 'chain_in_use', `chain "${user.name}" has it as a sub-chain`)
        const rule = deps.startedBy(name)
        if (rule !== undefined) throw new Problem(409, 'chain_in_use', `rule "${rule}" starts it`)
        const done = await control.delete(name, {
          ifVersion: doc.version,
          beside,
          also: await versions.forgetOps(name),
          ...record(by, { name, deleted: true, previous_version: before.version }),
        })
        if (!done) return again(name, doc.version, () => self.api.deleteDefinition(name, by, ifVersion))
        await switches.forget(name)
      },

      async versions(name, page) {
        const current = offered(name)
        if (current.source === 'file') return { versions: [{ version: current.version, current: true }] }
        const found = await versions.list(name, page)
        const shown = found.versions.map(({ name: _, definition: _whole, ...v }) => v)
        return { ...found, versions: shown.map((v) => ({ ...v, current: v.version === current.version })) }
      },
      async version(name, version) {
        const current = offered(name)
        const { name: _, source: _source, ...now } = current
        if (version === current.version) return { ...now, current: true }
        const found = current.source === 'file' ? undefined : await versions.get(name, version)
        if (!found) throw notFound('version of this chain')
        const { name: _name, ...old } = found
        return { ...old, current: false }
      },
      async rollback(name, version, by, ifVersion) {
        const current = offered(name)
        inFile(name)
        matches(current, ifVersion)
        const old = version === current.version ? current : await versions.get(name, version)
        if (!old) throw notFound('version of this chain')
        // What it refers to may have gone since.
        const how = { doc: control.get(name), beside: guard(), rolledBack: true }
        const { definition, warnings } = parseOne(name, JSON.parse(JSON.stringify(old.definition)) as Json)
        const done = await putInForce(name, definition, by, how)
        if (!done) return again(name, how.doc?.version, () => self.api.rollback(name, version, by, ifVersion))
        return { view: done.view, warnings }
      },
      async setEnabled(name, enabled, { by, why }) {
        const { definition } = offered(name)
        const said = why !== undefined && { why }
        const to = { enabled, by, ...said, defined: definition.enabled !== false }
        await switches.set(name, to, { ...record(by, { name, enabled, ...said }) })
        return view(offered(name))
      },
    },
  }
  return self
}

const about = (definition: ChainDefinition) => ({ name: definition.name, version: versionOf(definition), definition })
const madeOf = ({ definition, updated_at, updated_by }: Stored) => ({
  ...about(definition),
  source: 'api' as const,
  updated_at,
  updated_by,
})
