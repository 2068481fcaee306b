import { describe, expect, it } from 'vitest'
import type { z } from 'zod'
import { commands } from '../../src/app/cli.ts'
import { backendNames } from '../../src/app/config/config.ts'
import { loadConfig } from '../../src/app/config/load.ts'
import { breakerShape, providerCommon, sections } from '../../src/app/config/schema.ts'
import { keysOf } from '../../src/app/config/shape.ts'
import { stateBackends } from '../../src/state/index.ts'
import { codes, section, table } from './markdown.ts'

/** The reference of the configuration against the schema it is read with. */

const page = 'docs/configuration.md'
const documented = (heading: string) =>
  table(page, heading, 'Key', 'Default').map(([key = '', value = '']) => [codes(key)[0], codes(value)[0] ?? value])

/** As the page writes a default. */
const shown = (value: unknown): string => (value === undefined ? '–' : JSON.stringify(value))
const required = (schema: z.ZodObject, key: string): boolean =>
  schema.safeParse({}).error?.issues.some((i) => i.path[0] === key) ?? false
const keysWithDefaults = (schema: z.ZodObject, given: { readonly [key: string]: unknown }) =>
  Object.keys(schema.shape).map((key) => [key, required(schema, key) ? 'required' : shown(given[key])])

const defaults: { readonly [section: string]: { readonly [key: string]: unknown } } = JSON.parse(
  JSON.stringify(sections.parse({})),
)
/** Where the page knows a default that is not the schema's but of those who read it. */
const MADE_LATER: { readonly [key: string]: string } = {
  'state.backend': '"sqlite"',
  'state.path': '"./data/signalbox.db"',
}

describe('docs/configuration.md', () => {
  const names = Object.keys(sections.shape).filter((s) => s !== 'providers')

  it.each(names)('says every key of [%s] with its default, and no other', (name) => {
    const keys = keysOf(sections.shape[name as keyof typeof sections.shape]).filter(
      (k) => !(name === 'audit' && k === 'redact'),
    )
    const expected = keys.map((key) => [key, MADE_LATER[`${name}.${key}`] ?? shown(defaults[name]?.[key])])
    expect(documented(`\`[${name}]\``).toSorted()).toEqual(expected.toSorted())
  })

  it('says every key of [audit.redact], [[providers]] and of a breaker of its own', () => {
    const redact = defaults.audit?.redact as { readonly [key: string]: unknown }
    expect(documented('`[audit.redact]`')).toEqual(Object.entries(redact).map(([k, v]) => [k, shown(v)]))
    expect(documented('`[[providers]]`')).toEqual(keysWithDefaults(providerCommon, {}))
    expect(documented('`[circuit_breaker.providers.NAME]`')).toEqual(keysWithDefaults(breakerShape, {}))
  })

  it('has a heading for each section and for none that is not there', () => {
    const headings = [...section(page, 'The sections').matchAll(/^### `\[+([\w.]+)\]+`$/gm)].map((m) => m[1])
    const [others, own] = [['audit.redact', 'circuit_breaker.providers.NAME'], Object.keys(sections.shape)]
    expect(headings.toSorted()).toEqual([...own, ...others].toSorted())
  })

  it('calls built what is built, and names every backend that is known', () => {
    const said = table(page, '`[state]`', 'Key', 'Default').find(([key]) => key === '`backend`')?.[2] ?? ''
    expect(codes(said).filter((c) => backendNames.some((b) => b === c))).toEqual([...backendNames])
    expect(Object.keys(stateBackends).toSorted()).toEqual(['dynamodb', 'postgres', 'redis', 'sqlite'])
  })

  it.each(['auth', 'encryption'])('refuses [%s], as it says', (name) => {
    expect(section(page, undefined)).toMatch(/`\[auth\]` and `\[encryption\]` are \*\*refused\*\*/)
    const { findings } = loadConfig({ cwd: '/', env: {}, readFile: () => `[${name}]\n` })
    expect(findings.map((f) => f.message).join()).toContain(`[${name}] is refused`)
  })

  it('says every command and every option', () => {
    expect(table(page, 'Command line', 'Command').map(([c = '', does = '']) => [codes(c)[0], does !== ''])).toEqual(
      commands.map((c) => [c.name, true]),
    )
    const options = new Map<string, string[]>()
    for (const c of commands)
      for (const o of Object.keys(c.options)) options.set(`--${o}`, [...(options.get(`--${o}`) ?? []), c.name])
    const said = table(page, 'Command line', 'Option').map(([o = '', of]) => [codes(o)[0], of])
    expect(said.toSorted()).toEqual([...options].map(([o, of]) => [o, of.join(', ')]).toSorted())
  })
})
