import { parseArgs } from 'node:util'
import type { Environment } from '../../core/expand.ts'
import { didYouMean } from '../../core/nearest.ts'
import type { Config } from '../config/config.ts'
import type { ConfigRequest, LoadedConfig } from '../config/load.ts'
import type { Opening } from '../opening.ts'

/** What a command talks to. */
export interface Terminal {
  out(line: string): void
  err(line: string): void
  readonly cwd: string
  readonly env: Environment
}

export interface Option {
  readonly type: 'string' | 'boolean'
  readonly short?: string
  readonly multiple?: true
  /** The placeholder of its value, in the help. */
  readonly value?: string
  readonly about: string
}
export type Options = { readonly [name: string]: Option }
/** A word without an option, which must be given. */
export interface Operand {
  /** Its placeholder in the help, and its name among what is given. */
  readonly value: string
  readonly about: string
}
/** The values of the options given: flags are `['']`. */
export type Given = { readonly [name: string]: readonly string[] | undefined }

export interface Command {
  readonly name: string
  readonly about: string
  readonly operand?: Operand
  readonly options: Options
  /** Answers the exit code: 0 done, 1 refused or failed. */
  run(given: Given, terminal: Terminal): Promise<number>
}

export const configOptions: Options = {
  config: { type: 'string', short: 'c', value: 'FILE', about: 'the configuration; ./gateway.toml if there is one' },
  set: { type: 'string', multiple: true, value: 'SECTION.KEY=VALUE', about: 'over the file; as often as needed' },
}

/** What the options of a command that takes `configOptions` ask of the loader. */
export const requestOf = (given: Given, terminal: Terminal): ConfigRequest => ({
  file: given.config?.[0],
  set: given.set ?? [],
  host: given.host?.[0],
  port: given.port?.[0],
  cwd: terminal.cwd,
  env: terminal.env,
})

type Reading = Pick<Command, 'options' | 'operand'>
/** Reads the words after a command. Text: what is wrong with them. */
export function readOptions(args: readonly string[], { options, operand }: Reading): Given | string {
  const config = Object.fromEntries(
    Object.entries(options).map(([name, { type, short }]) => [name, { type, multiple: true, ...(short && { short }) }]),
  )
  const { tokens } = parseArgs({ args: [...args], options: config, strict: false, tokens: true })
  const given: { [name: string]: string[] } = {}
  for (const t of tokens) {
    if (t.kind === 'positional') {
      if (!operand || given[operand.value]) return `unexpected "${t.value}"`
      given[operand.value] = [t.value]
      continue
    }
    if (t.kind === 'option-terminator') continue
    const option = Object.hasOwn(options, t.name) ? options[t.name] : undefined
    if (!option) return `unknown option ${t.rawName}${didYouMean(t.rawName, names(options))}`
    const isFlag = option.type === 'boolean'
    if (isFlag && t.value !== undefined) return `${t.rawName} takes no value`
    if (!isFlag && (t.value === undefined || (!t.inlineValue && t.value.startsWith('-'))))
      return `${t.rawName} needs a value`
    const values = given[t.name] ?? []
    if (values.length > 0 && !option.multiple) return `${t.rawName} is given twice`
    given[t.name] = [...values, t.value ?? '']
  }
  if (operand && !given[operand.value]) return `${operand.value} is missing: ${operand.about}`
  return given
}
const names = (options: Options) => Object.keys(options).map((n) => `--${n}`)

export function usageOf(command: Command): string {
  const { operand } = command
  const rows = operand ? [[`  ${operand.value}`, operand.about] as const] : []
  for (const [name, o] of Object.entries(command.options)) {
    const short = o.short ? `-${o.short}, ` : ''
    rows.push([`  ${short}--${name}${o.value ? ` ${o.value}` : ''}`, o.about])
  }
  const width = Math.max(0, ...rows.map(([left]) => left.length))
  const lines = rows.map(([left, about]) => `${left.padEnd(width)}   ${about}`)
  return [`signalbox ${command.name}${operand ? ` ${operand.value}` : ''}: ${command.about}`, ...lines].join('\n')
}

/**
 * What `src/app/serve.ts` exports as `serve`: opens everything but what has `begun`, prints where it listens, and resolves to the
 * exit code once a signal has stopped it. `again` reads file, variables and flags anew, as a reload does; `fingerprint` is the
 * file's as it was loaded, `warned` what it had to say beside.
 */
export type Serve = (
  config: Config,
  begun: Opening,
  again: () => LoadedConfig,
  fingerprint: string,
  warned: LoadedConfig['findings'],
) => Promise<number>
