import { z } from 'zod'
import { actionFields } from '../core/action.ts'
import type { Finding } from '../core/errors.ts'
import { sha256 } from '../core/ids.ts'
import { isObject, type Json, own, setOwn } from '../core/json.ts'
import { didYouMean } from '../core/nearest.ts'
import type { Redact } from '../core/redact.ts'
import { compileTemplate, notATemplate } from '../core/template.ts'
import { zoneError } from '../core/zone.ts'
import { reservedActions, ruleActions } from './actions/index.ts'
import { compileCondition } from './condition.ts'
import { type Environment, listOf, readDocument } from './document.ts'
import { compileField, type Field, type FieldContext } from './fields.ts'
import { templateRoots } from './keys.ts'
import { type Limit, limitShape, readLimit } from './limits.ts'
import { kindOf, type Located, locate, type Report, readAs, unknownKey } from './located.ts'
import { always, type Required, type Test } from './logic.ts'
import type { RuleNames } from './names.ts'
import type { Compiling, RuleAction, Stage } from './stage.ts'
import { timeFields, type Zone, zone } from './time.ts'

/** A rule as it runs. */
export interface Rule {
  readonly name: string
  readonly priority: number
  readonly description: string | undefined
  /** The file's own word; a switch may say otherwise. */
  readonly enabled: boolean
  /** May be passed twice in one lineage. */
  readonly reentrant: boolean
  /** Its own limit, in place of the general ones. */
  readonly maxExecutions: Limit | undefined
  readonly type: string
  readonly runs: RuleAction['runs']
  /** The chain it starts. */
  readonly chain: string | undefined
  /** What a match does, in a few words: `reroute to alerts`. */
  readonly does: string
  readonly file: string
  readonly line: number
  readonly column: number
  readonly test: Test
  readonly required: Required
  readonly stage: Stage
  /** Of one that can hold: what it asks and does, whatever it is called. */
  readonly content: string | undefined
}
export interface RuleFile {
  /** As findings name it; files are in order of this path. */
  readonly file: string
  readonly text: string
}
export interface CompileContext {
  readonly names: RuleNames
  readonly timezone: string
  /** The allow-listed names `env.NAME` may read. */
  readonly envNames: readonly string[]
  /** For `${…}` in the files, and the values behind `env.NAME`. Undefined for a text that is only checked for whoever sent it. */
  readonly environment: Environment | undefined
  /** What a trace may show of values. */
  readonly redact: Redact
  /** What is said, as a warning, of a chain that is not there (yet). Undefined, or left out: that it is not there is an error. */
  readonly withoutChain?: (chain: string) => string | undefined
}
/** Of a chain that is nowhere, where that does not stop a rule from being loaded. */
export const LACKING = '; until it is defined the rule cannot start it'
export interface Compiled {
  /** In order of evaluation: priority, then file, then position. */
  readonly rules: readonly Rule[]
  /** Errors and warnings in order of place. Rules with errors among them are not to be used. */
  readonly findings: readonly Finding[]
  /** What the files took from the environment. */
  readonly references: readonly string[]
}

export const ruleShape = z.strictObject({
  name: z.string().regex(/^[^\p{Cc}]{1,128}$/u, 'must be 1 to 128 characters, none of them control'),
  priority: z.int().min(-1_000_000).max(1_000_000).default(0),
  description: z.string().optional(),
  enabled: z.boolean().default(true),
  reentrant: z.boolean().default(false).describe('may be passed again by what came of it'),
  max_executions: limitShape
    .optional()
    .describe('in place of the general limits: more runs in a scope than this switch it off there'),
  timezone: z.string().optional(),
  condition: z.unknown().optional(),
  action: z.unknown().optional(),
})
const RULE_KEYS = Object.keys(ruleShape.shape)
const actionsByType = new Map(ruleActions.map((a) => [a.type, a]))

/** Compiles whole files, and reports everything wrong with them, not only the first. Nothing is thrown. */
export function compileRules(files: readonly RuleFile[], context: CompileContext): Compiled {
  const findings: Finding[] = []
  const references: string[] = []
  const rules: Rule[] = []
  const seen = new Map<string, Rule>()
  const providers = new Set(context.names.providers)
  const chains = new Set(context.names.chains)
  for (const { file, text } of files) {
    const document = readDocument(file, text, context.environment, findings)
    references.push(...document.references)
    for (const node of ruleNodes(document.root, document.report)) {
      const { position, report } = document
      const rule = compileRule(node, { ...context, providers, chains, report })
      if (!rule) continue
      const placed: Rule = { ...rule, file, ...position(node.at) }
      const first = seen.get(rule.name)
      if (first)
        report.error(locate(node, ['name']).at, `the name "${rule.name}" is taken: ${first.file}:${first.line}`)
      else seen.set(rule.name, placed)
      rules.push(placed)
    }
  }
  // Files come sorted and rules by position, and this sort is stable.
  rules.sort((a, b) => a.priority - b.priority)
  return { rules, findings, references }
}

function ruleNodes(root: Located | undefined, report: Report): readonly Located[] {
  if (!root) return []
  if (!root.fields) {
    report.error(root.at, `a rule file must be a mapping with "rules", not ${kindOf(root.value)}`)
    return []
  }
  for (const [key, { keyAt }] of root.fields) if (key !== 'rules') report.error(keyAt, unknownKey(key, ['rules']))
  const list = root.fields.get('rules')
  return list ? listOf(list.node, '"rules"', report) : []
}

interface RuleContext extends CompileContext {
  readonly providers: ReadonlySet<string>
  readonly chains: ReadonlySet<string>
  readonly report: Report
}

function compileRule(node: Located, context: RuleContext): Omit<Rule, 'file' | 'line' | 'column'> | undefined {
  const { report } = context
  if (!node.fields) {
    report.error(node.at, `a rule must be a mapping, not ${kindOf(node.value)}`)
    return undefined
  }
  const head = readAs(ruleShape, node, report, RULE_KEYS)
  const zoneNode = node.fields.get('timezone')?.node
  const ruleZone = named(
    context.timezone,
    zoneNode && head?.timezone !== undefined ? [zoneNode, head.timezone] : undefined,
    report,
  )
  const fields: FieldContext = { zone: ruleZone, env: envValues(context) }
  const conditionNode = node.fields.get('condition')?.node
  const condition = conditionNode
    ? compileCondition(conditionNode, { ...fields, report, redact: context.redact })
    : always
  const actionNode = node.fields.get('action')?.node
  if (!actionNode) report.error(node.at, '"action" is missing')
  const action = actionNode && compileAction(actionNode, String(head?.name ?? ''), fields, context)
  if (!head || !action) return undefined
  const { name, priority, description, enabled, reentrant, max_executions: own } = head
  if (own && action.runs === 'never')
    report.warn(
      locate(node, ['max_executions']).at,
      `"max_executions" has no effect here: ${action.type} sends nothing, so there is nothing to count`,
    )
  const maxExecutions = own && readLimit(own)
  const holds = actionsByType.get(action.type)?.kind === 'holds'
  const content = holds ? sha256(JSON.stringify([conditionNode?.value, actionNode!.value])) : undefined
  return { name, priority, description, enabled, reentrant, maxExecutions, ...action, ...condition, content }
}

const envValues = ({ envNames, environment = {} }: CompileContext): ReadonlyMap<string, string | undefined> =>
  new Map(envNames.map((n) => [n, Object.hasOwn(environment, n) ? environment[n] : undefined]))

function named(fallback: string, own: readonly [Located, string] | undefined, report: Report): Zone {
  if (own) {
    const [node, name] = own
    const found = zone(name)
    if (found) return found
    report.error(node.at, zoneError(name)!)
  }
  return zone(fallback) ?? zone('UTC')!
}

function compileAction(
  node: Located,
  rule: string,
  fields: FieldContext,
  context: RuleContext,
): Pick<Rule, 'type' | 'runs' | 'chain' | 'does' | 'stage'> | undefined {
  const { report } = context
  const type = node.fields?.get('type')?.node
  if (!node.fields || !type) {
    report.error(node.at, node.fields ? '"type" is missing' : `"action" must be a mapping, not ${kindOf(node.value)}`)
    return undefined
  }
  const known = [...actionsByType.keys()]
  const found = typeof type.value === 'string' ? actionsByType.get(type.value) : undefined
  if (!found) {
    const word = typeof type.value === 'string' ? type.value : ''
    const message = reservedActions.includes(word)
      ? `the rule action "${word}" is not built yet`
      : `there is no rule action ${typeof type.value === 'string' ? `"${word}"` : 'of that kind'}; expected ${known.join(', ')}${didYouMean(word, known)}`
    report.error(type.at, message)
    return undefined
  }
  const parameters = without(node, 'type')
  const params = readAs(found.params, parameters, report, Object.keys(found.params.shape))
  if (!params) return undefined
  // The schema beside it has just made these, so this is the parse.
  let chain: string | undefined
  const starts = (name: string): void => {
    chain = name
  }
  const stage = found.compile(params as never, compiling(rule, parameters, fields, context, starts))
  const target = own(params, 'target_provider') ?? own(params, 'chain')
  const does = typeof target === 'string' ? `${found.type} ${found.type === 'chain' ? '' : 'to '}${target}` : found.type
  return { type: found.type, runs: found.runs, chain, does, stage }
}

function without(node: Located, key: string): Located {
  const value: Record<string, Json> = {}
  for (const [k, v] of Object.entries(isObject(node.value) ? node.value : {})) if (k !== key) setOwn(value, k, v)
  return { ...node, value, fields: new Map([...(node.fields ?? [])].filter(([k]) => k !== key)) }
}

function compiling(
  rule: string,
  node: Located,
  fields: FieldContext,
  context: RuleContext,
  starts: (chain: string) => void,
): Compiling {
  const { report, names, providers, chains } = context
  const error = (path: readonly PropertyKey[], message: string) => report.error(locate(node, path).at, message)
  const warn = (path: readonly PropertyKey[], message: string) => report.warn(locate(node, path).at, message)
  return {
    rule,
    zone: fields.zone,
    defaultProvider: names.defaultProvider,
    redact: context.redact,
    loops: names.loops,
    mostGroupBytes: names.mostGroupBytes ?? Number.POSITIVE_INFINITY,
    error,
    warn,
    isProvider: (name) => providers.has(name),
    provider(name, path) {
      if (name !== undefined && !providers.has(name))
        error(path, `there is no provider "${name}"${didYouMean(name, providers)}`)
    },
    chain(name, path) {
      starts(name)
      if (chains.has(name)) return
      const fine = context.withoutChain?.(name)
      const message = `there is no chain "${name}"${fine ?? ''}${didYouMean(name, chains)}`
      if (fine === undefined) error(path, message)
      else warn(path, message)
    },
    timezone(name, path) {
      if (name === undefined) return fields.zone
      return named(fields.zone.name, [locate(node, path), name], report)
    },
    field(text, path): Field {
      const field = compileField(text, fields)
      if (typeof field !== 'string') return field
      error(path, field)
      return { text, read: () => undefined }
    },
    template: (source, path) => checkTemplate(source, path, { error, warn }),
  }
}

type Tell = (path: readonly PropertyKey[], message: string) => void

function checkTemplate(source: Json, path: readonly PropertyKey[], tell: { error: Tell; warn: Tell }): void {
  if (Array.isArray(source)) for (const [i, item] of source.entries()) checkTemplate(item, [...path, i], tell)
  else if (isObject(source)) for (const k of Object.keys(source)) checkTemplate(own(source, k)!, [...path, k], tell)
  else if (typeof source === 'string') {
    const odd = notATemplate(source)
    if (odd !== undefined) tell.warn(path, odd)
    for (const reference of compileTemplate(source).references) {
      const problem = badReference(reference.text, reference.path)
      if (problem !== undefined) tell.error(path, problem)
    }
  }
}

function badReference(text: string, [root = '', first]: readonly string[]): string | undefined {
  if (!(templateRoots as readonly string[]).includes(root))
    return `"{{${text}}}" begins with none of ${templateRoots.join(', ')}${didYouMean(root, templateRoots)}`
  const known: readonly string[] | undefined =
    root === 'action' ? actionFields : root === 'time' ? timeFields : undefined
  if (!known || first === undefined || known.includes(first)) return undefined
  return `"{{${text}}}" names no field of ${root}${didYouMean(first, known)}`
}
