import { parseArgs } from 'node:util'
import type { Environment } from '../../core/expand.ts'
import { didYouMean } from '../../core/nearest.ts'
import type { Config } from '../config/config.ts'
import type { ConfigRequest, LoadedConfig } from '../config/load.ts'

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
/** The values of the options given: flags are `['']`. */
export type Given = { readonly [name: string]: readonly string[] | undefined }

export interface Command {
  readonly name: string
  readonly about: string
  readonly options: Options
  /** Answers the exit code: 0 done, 1 refused or failed. */
  run(given: Given, terminal: Terminal): Promise<number>
}

export const configOptions: Options = {
  config: { type: 'string', short: 'c', value: 'FILE', about: 'the configuration; ./gateway.toml if there is one' },
  set: { type: 'string', multiple: true, value: 'SECTION.KEY=VALUE', about: 'over the file; as often as needed' },
}

/** What the options of a command that takes `configOptions` ask of the loader. */
export const requestOf = (given: Given, terminal: Terminal, serving: boolean): ConfigRequest => ({
  file: given.config?.[0],
  set: given.set ?? [],
  host: given.host?.[0],
  port: given.port?.[0],
  cwd: terminal.cwd,
  env: terminal.env,
  serving,
})

/** Reads the words after a command. Text: what is wrong with them. */
export function readOptions(args: readonly string[], options: Options): Given | string {
  const config = Object.fromEntries(
    Object.entries(options).map(([name, { type, short }]) => [name, { type, multiple: true, ...(short && { short }) }]),
  )
  const { tokens } = parseArgs({ args: [...args], options: config, strict: false, tokens: true })
  const given: { [name: string]: string[] } = {}
  for (const t of tokens) {
    if (t.kind === 'positional') return `unexpected "${t.value}"`
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
  return given
}
const names = (options: Options) => Object.keys(options).map((n) => `--${n}`)

export function usageOf(command: Command): string {
  const left = Object.entries(command.options).map(([name, o]) => {
    const short = o.short ? `-${o.short}, ` : ''
    return `  ${short}--${name}${o.value ? ` ${o.value}` : ''}`
  })
  const width = Math.max(0, ...left.map((l) => l.length))
  const lines = Object.values(command.options).map((o, i) => `${left[i]!.padEnd(width)}   ${o.about}`)
  return [`signalbox ${command.name}: ${command.about}`, ...lines].join('\n')
}

/**
 * What `src/app/serve.ts` exports as `serve`: opens everything, prints where it listens, and resolves to the exit code once a signal
 * has stopped it. `again` reads file, variables and flags anew, as a reload does.
 */
export type Serve = (config: Config, again: () => LoadedConfig) => Promise<number>
