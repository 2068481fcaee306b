import { readFileSync } from 'node:fs'
import { dirname, resolve } from 'node:path'
import type { Finding } from '../../core/errors.ts'
import type { Environment } from '../../core/expand.ts'
import type { ProviderType } from '../../core/provider.ts'
import { NotUtf8, utf8 } from '../../core/utf8.ts'
import { providerTypes } from '../../providers/index.ts'
import { checkBackends } from './backends.ts'
import { buildConfig } from './build.ts'
import { checkChains } from './chains.ts'
import type { Config } from './config.ts'
import { type Draft, readDraft } from './draft.ts'
import { expandDraft, whyUnreadable } from './expand.ts'
import { reportIssues } from './issues.ts'
import { checkMeanings } from './meanings.ts'
import { checkNames } from './names.ts'
import { applyOverride, flagOverride, type Override, variableOverrides } from './overrides.ts'
import { sections } from './schema.ts'

export interface ConfigRequest {
  /** As given with `-c`: must exist. Left out: `gateway.toml` in `cwd` if there is one, else the built-in default. */
  readonly file?: string | undefined
  readonly cwd: string
  readonly env: Environment
  /** `section.key=value`, over the variables, which are over the file. */
  readonly set?: readonly string[]
  readonly host?: string | undefined
  readonly port?: string | undefined
  readonly types?: readonly ProviderType[]
  readonly readFile?: (path: string) => string
}
export interface LoadedConfig {
  /** Undefined when a finding is an error: a configuration is loaded whole or not at all. */
  readonly config: Config | undefined
  /** In the order of the file; those on flags and variables last. */
  readonly findings: readonly Finding[]
}

/**
 * The same request for a reload. A file that was there must be there again: between the two halves of a rename it is not, and the
 * built-in configuration must not take its place.
 */
export const requestAgain = (request: ConfigRequest, running: Config): ConfigRequest =>
  running.file === undefined ? request : { ...request, file: request.file ?? DEFAULT_FILE }

/** Nobody has asked for rules: there is no file, and the directory is the one that only the defaults name. */
export const rulesMayBeAbsent = ({ file, directory, rules }: Config): boolean =>
  file === undefined && rules.directory === resolve(directory, 'rules')

const DEFAULT_FILE = 'gateway.toml'
/** What stands for the file when there is none. */
const NO_FILE = '[[providers]]\nname = "log"\ntype = "log"\n\n[rules]\ndefault_provider = "log"\n'

const read = (path: string): string => utf8(readFileSync(path))

/** Reads the configuration: file, variables, flags; references, secret files; schemas; names. Never throws for what an operator wrote. */
export function loadConfig(request: ConfigRequest): LoadedConfig {
  const readFile = request.readFile ?? read
  const shown = request.file ?? DEFAULT_FILE
  const path = resolve(request.cwd, shown)
  let source: string | undefined
  try {
    source = readFile(path)
  } catch (e) {
    if (e instanceof NotUtf8) return failed([e.finding(shown)])
    const why = whyUnreadable(e)
    const absent = e instanceof Error && 'code' in e && e.code === 'ENOENT'
    if (request.file !== undefined || !absent) {
      const message = `cannot read the configuration: ${why}`
      return failed([{ file: shown, line: 0, column: 0, severity: 'error', message }])
    }
  }
  const draft = readDraft(source ?? NO_FILE, source === undefined ? 'the built-in configuration' : shown, {
    directory: source === undefined ? resolve(request.cwd) : dirname(path),
    env: request.env,
    types: request.types ?? providerTypes,
    readFile,
  })
  if (!('root' in draft)) return failed([draft])
  applyOverrides(draft, request)
  const config = finish(draft, source === undefined ? undefined : path)
  const findings = inOrder(draft.findings)
  return { config: findings.some((f) => f.severity === 'error') ? undefined : config, findings }
}

function applyOverrides(draft: Draft, request: ConfigRequest): void {
  const flag = (key: string, text: string | undefined): Override[] =>
    text === undefined ? [] : [{ by: `--${key}`, path: ['server', key], text, loose: false }]
  for (const o of variableOverrides(request.env)) applyOverride(draft, o)
  for (const set of request.set ?? []) {
    const o = flagOverride(set)
    if ('path' in o) applyOverride(draft, o)
    else draft.findings.push(o)
  }
  for (const o of [...flag('host', request.host), ...flag('port', request.port)]) applyOverride(draft, o)
}

function finish(draft: Draft, file: string | undefined): Config | undefined {
  expandDraft(draft)
  const parsed = sections.safeParse(draft.root)
  if (!parsed.success) reportIssues(draft, [], parsed.error.issues)
  checkBackends(draft)
  checkNames(draft)
  checkChains(draft)
  checkMeanings(draft)
  return buildConfig(draft, parsed.data, file)
}

const failed = (findings: readonly Finding[]): LoadedConfig => ({ config: undefined, findings })
const inOrder = (findings: readonly Finding[]): Finding[] =>
  [...findings].sort(
    (a, b) =>
      Number(a.line === 0) - Number(b.line === 0) ||
      a.line - b.line ||
      a.column - b.column ||
      (a.line === 0 ? a.file.localeCompare(b.file, 'en') : 0),
  )
