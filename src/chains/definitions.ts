import { GLOBAL } from '../core/action.ts'
import { type AuditRow, auditRow } from '../core/audit.ts'
import { isoTime } from '../core/clock.ts'
import type { Env } from '../core/env.ts'
import { notFound, Problem } from '../core/errors.ts'
import { isObject, type JsonObject } from '../core/json.ts'
import type { Control } from '../core/state.ts'
import type { Chains, DefinitionView } from './chains.ts'
import { closure, subChainsOf } from './check-sub-chains.ts'
import { versionOf } from './compile.ts'
import type { BranchTests, ChainDefinition, DefinitionIssue } from './definition.ts'
import { type ParsedDefinitions, parseChainDefinitions } from './parse.ts'
import type { AuditPolicy } from './records.ts'

export interface DefinitionsDeps {
  readonly env: Env
  readonly control: Control
  readonly tests: BranchTests
  readonly providers: () => Iterable<string>
  readonly audit: () => AuditPolicy
}
/** A document of the control topic; its id is the chain's name. */
interface Stored {
  readonly definition: ChainDefinition
  readonly updated_at: string
  readonly updated_by: string
}
type Api = Pick<
  Chains,
  | 'names'
  | 'has'
  | 'checkDefinitions'
  | 'setDefinitions'
  | 'definitions'
  | 'definition'
  | 'putDefinition'
  | 'deleteDefinition'
>
export interface Definitions {
  readonly api: Api
  /** The chain and every sub-chain it can reach; undefined where one is missing. */
  closureOf(name: string): readonly ChainDefinition[] | undefined
}

/** The definitions in force: the file's, and those made through the API. A name is defined in one place only. */
export function createDefinitions({ env, control, tests, providers, audit }: DefinitionsDeps): Definitions {
  let file: ReadonlyMap<string, DefinitionView> = new Map()
  let made: ReadonlyMap<string, DefinitionView> = new Map()
  const read = () => {
    made = new Map(control.all().map((doc) => [doc.id, viewOf(JSON.parse(doc.value) as Stored)]))
  }
  read()
  control.subscribe(read)

  const find = (name: string): DefinitionView | undefined => file.get(name) ?? made.get(name)
  const all = (): readonly DefinitionView[] =>
    [...file.values(), ...made.values()].sort((a, b) => (a.name < b.name ? -1 : a.name > b.name ? 1 : 0))
  const parse = (raw: readonly unknown[], others: Iterable<DefinitionView>): ParsedDefinitions =>
    parseChainDefinitions(raw, { providers: providers(), tests, others: [...others].map((v) => v.definition) })

  /** The file's definitions beside those made through the API, some of which may need one that goes. */
  function parseFile(raw: readonly unknown[]): ParsedDefinitions {
    const parsed = parse(raw, made.values())
    const known = new Set([...made.keys(), ...parsed.definitions.map((d) => d.name)])
    const orphans: DefinitionIssue[] = []
    for (const { name, definition } of made.values())
      for (const sub of subChainsOf(definition))
        if (!known.has(sub.name)) {
          const message = `chain "${name}", made through the API, has the sub-chain "${sub.name}", which is no longer there`
          orphans.push({ path: [], message, severity: 'warning' })
        }
    return { ...parsed, issues: [...parsed.issues, ...orphans] }
  }
  function inFile(name: string): void {
    if (file.has(name)) throw new Problem(409, 'chain_in_file', `chain "${name}" is defined in the configuration file`)
  }
  function matches(current: DefinitionView | undefined, ifVersion: string | undefined): void {
    if (ifVersion !== undefined && ifVersion !== current?.version)
      throw new Problem(412, 'version_mismatch', 'the chain has another version now')
  }
  const changed = (by: string, details: JsonObject): AuditRow => {
    const at = isoTime(env.clock.now())
    const id = env.newId()
    return auditRow({
      id,
      kind: 'admin',
      namespace: GLOBAL[0],
      tenant: GLOBAL[1],
      action_id: id,
      run_id: id,
      action_type: 'chain_definition',
      outcome: 'changed',
      details: audit().redact(details),
      caller: by,
      received_at: at,
      completed_at: at,
      duration_ms: 0,
    })
  }
  const write = (by: string, details: JsonObject, name: string) => {
    const was = control.get(name)
    return {
      ifVersion: was?.version ?? null,
      ...(audit().enabled && { record: changed(by, details) }),
    }
  }
  const raced = () => new Problem(412, 'version_mismatch', 'the chain was changed by somebody else meanwhile')

  return {
    closureOf: (name) => closure(name, (n) => find(n)?.definition),
    api: {
      names: () => all().map((v) => v.name),
      has: (name) => closure(name, (n) => find(n)?.definition) !== undefined,
      definitions: all,
      definition: find,
      checkDefinitions: (raw) => parseFile(raw).issues,
      setDefinitions(raw) {
        const parsed = parseFile(raw)
        if (!parsed.issues.some((i) => i.severity === 'error'))
          file = new Map(parsed.definitions.map((d) => [d.name, { ...about(d), source: 'file' }]))
        return parsed.issues
      },
      async putDefinition(name, body, by, ifVersion) {
        inFile(name)
        const before = made.get(name)
        matches(before, ifVersion)
        const named = isObject(body) && !Object.hasOwn(body, 'name') ? { name, ...body } : body
        const parsed = parse(
          [named],
          all().filter((v) => v.name !== name),
        )
        const definition = parsed.definitions[0]
        const errors = parsed.issues.filter((i) => i.severity === 'error')
        if (definition && definition.name !== name)
          errors.push({
            path: [0, 'name'],
            message: `the body is named "${definition.name}", the address "${name}"`,
            severity: 'error',
          })
        if (!definition || errors.length > 0)
          throw new Problem(422, 'invalid_chain', 'the chain definition is not valid', {
            errors: errors.map((e) => ({ pointer: pointer(e.path.slice(1)), message: e.message })),
          })
        const warnings = parsed.issues.filter((i) => i.severity === 'warning')
        const view = about(definition)
        if (before?.version === view.version) return { view: before, created: false, warnings }
        const stored: Stored = { definition, updated_at: isoTime(env.clock.now()), updated_by: by }
        const details = { name, version: view.version, ...(before && { previous_version: before.version }) }
        if (!(await control.put(name, JSON.stringify(stored), write(by, details, name)))) throw raced()
        return { view: viewOf(stored), created: before === undefined, warnings }
      },
      async deleteDefinition(name, by, ifVersion) {
        inFile(name)
        const before = made.get(name)
        if (!before) throw notFound('chain definition')
        matches(before, ifVersion)
        const user = all().find((v) => v.name !== name && subChainsOf(v.definition).some((sub) => sub.name === name))
        if (user) throw new Problem(409, 'chain_in_use', `chain "${user.name}" has it as a sub-chain`)
        if (!(await control.delete(name, write(by, { name, deleted: true, previous_version: before.version }, name))))
          throw raced()
      },
    },
  }
}

const about = (definition: ChainDefinition) => ({ name: definition.name, version: versionOf(definition), definition })
const viewOf = ({ definition, updated_at, updated_by }: Stored): DefinitionView => ({
  ...about(definition),
  source: 'api',
  updated_at,
  updated_by,
})

/** RFC 6901. */
const pointer = (path: readonly (string | number)[]): string =>
  path.map((p) => `/${String(p).replaceAll('~', '~0').replaceAll('/', '~1')}`).join('')
