import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { z } from 'zod'
import { MOST_STEPS_TAKEN } from '../../src/chains/decide/advance.ts'
import { MAX_DEPTH } from '../../src/chains/definitions/check-sub-chains.ts'
import { VERSIONS_KEPT } from '../../src/chains/definitions/versions.ts'
import { runStatuses } from '../../src/chains/model/run.ts'
import { chainShape, commonStep, MAX_STEPS } from '../../src/chains/model/shape.ts'
import { fieldRoots, templateRoots } from '../../src/chains/model/step-kind.ts'
import { MOST_ITEMS } from '../../src/chains/steps/for-each.ts'
import { stepKinds } from '../../src/chains/steps/index.ts'
import { MOST_SUMMARISED } from '../../src/chains/views/summary.ts'
import { awsKeys } from '../../src/providers/aws/config.ts'
import { providerErrorCodes, providerTypes } from '../../src/providers/index.ts'
import { codes, root, section, table } from './markdown.ts'

/** The references of providers, error codes and chains against the tables in the code. */

const page = 'docs/delivery.md'

interface Property {
  readonly default?: unknown
}
function keysOf(config: z.ZodType): readonly (readonly [string, string])[] {
  const { properties = {}, required = [] } = z.toJSONSchema(config, { io: 'input', unrepresentable: 'any' })
  return Object.entries(properties).map(([k, v]) => [
    k,
    required.includes(k) ? 'required' : defaultOf(v as Property), // an object schema's properties are objects
  ])
}
const defaultOf = (p: Property): string => (p.default === undefined ? '–' : JSON.stringify(p.default))
const documented = (heading: string) =>
  table(page, heading, 'Key', 'Default').map(([key = '', value = '']) => [codes(key)[0], codes(value)[0] ?? value])

describe('docs/delivery.md', () => {
  it('says every provider type with its verbs', () => {
    const said = table(page, 'Providers', '`type`', 'Verbs').map(([type = '', verbs = '']) => [
      codes(type)[0],
      codes(verbs),
    ])
    expect(said).toEqual(providerTypes.map((t) => [t.type, [...t.verbs]]))
  })

  it.each(providerTypes.filter((t) => keysOf(t.config).length > 0))('says every key of $type', ({ type, config }) => {
    const isAws = keysOf(config).some(([k]) => Object.hasOwn(awsKeys, k))
    const own = keysOf(config).filter(([k]) => !Object.hasOwn(awsKeys, k))
    expect(documented(`\`${type}\``).toSorted()).toEqual(own.toSorted())
    if (isAws) expect(keysOf(config).filter(([k]) => Object.hasOwn(awsKeys, k))).toEqual(documented('AWS keys'))
  })

  it('says every error code of providers, and what follows from it', () => {
    const said = table(page, 'Error codes', 'Code', 'Retry').map(([code = '', ...rest]) => [codes(code)[0], ...rest])
    const yes = (b: boolean) => (b ? 'yes' : 'no')
    expect(said).toEqual(
      Object.entries(providerErrorCodes).map(([code, m]) => [code, yes(m.retryable), yes(m.unknown), m.meaning]),
    )
  })

  it("says the gateway's own codes", () => {
    const said = table(page, 'Error codes', 'Code', '').map(([code = '']) => codes(code)[0]!)
    const inCode = new Set<string>()
    for (const folder of ['dispatch', 'delivery', 'chains'])
      for (const file of readdirSync(join(root, 'src', folder), { recursive: true, encoding: 'utf8' })) {
        if (!file.endsWith('.ts')) continue
        const text = readFileSync(join(root, 'src', folder, file), 'utf8')
        const pattern = /\bcode: '(\w+)'|new ProviderError\(\s*'(\w+)'|return failed\(base, end\.rule, '(\w+)'/g
        for (const m of text.matchAll(pattern)) inCode.add((m[1] ?? m[2] ?? m[3])!)
      }
    // Why a letter was left out of a redrive, which is the code of no failure.
    inCode.delete('told_caller')
    const known = [...said, ...Object.keys(providerErrorCodes)]
    expect([...inCode].filter((c) => !known.includes(c))).toEqual([])
    // Those that are the name of another outcome, or of an execution's end, are not written as a literal.
    const named = ['throttled', 'quota_exceeded', 'deduplicated', 'hot', 'cancelled']
    expect(said.filter((c) => !inCode.has(c) && !named.includes(c))).toEqual([])
  })
})

describe('docs/chains.md', () => {
  const chains = 'docs/chains.md'
  const keys = (head: string) => table(chains, undefined, head).map(([k = '']) => codes(k)[0])

  it('says every key of a chain and of a step', () => {
    expect(keys('Key of a chain')).toEqual(Object.keys(chainShape.shape))
    expect(keys('Key of a step')).toEqual(Object.keys(commonStep))
  })

  it('says every kind of step with its keys', () => {
    const said = table(chains, undefined, 'Kind', 'Keys').map(([kind = '', own = '']) => [codes(kind)[0], codes(own)])
    expect(said).toEqual(Object.values(stepKinds).map((k) => [k.kind, Object.keys(k.shape)]))
  })

  const tables = (shape: z.ZodRawShape) =>
    Object.entries(shape).flatMap(([name, s]) => {
      const inner = s instanceof z.ZodOptional ? s.unwrap() : s
      return inner instanceof z.ZodObject ? [[name, Object.keys(inner.shape)] as const] : []
    })
  it.each([...tables(commonStep), ...Object.values(stepKinds).flatMap((k) => tables(k.shape))])(
    'says every key of `%s`, in their order',
    (name, own) => expect(keys(`Key of \`${name}\``)).toEqual(own),
  )

  it('says what branch fields and templates begin with, the statuses and the limit of steps', () => {
    const text = section(chains, undefined)
    const sentence = (start: string) => codes(text.slice(text.indexOf(start)).split('\n', 1)[0] ?? '')
    expect(sentence('Branch fields begin with one of').slice(0, fieldRoots.length)).toEqual([...fieldRoots])
    const roots = sentence('Templates begin with one of')
    expect([...new Set(roots.filter((r) => templateRoots.some((t) => t === r)))]).toEqual([...templateRoots])
    expect(sentence('**Looking at it**').filter((w) => runStatuses.some((s) => s === w))).toEqual([...runStatuses])
    for (const limit of [
      `may take ${MOST_STEPS_TAKEN} steps`,
      `1 to ${MAX_STEPS}, those inside groups included`,
      `at most ${MAX_DEPTH} levels deep`,
      `at most, and if left out, ${MOST_ITEMS}`,
      `The newest ${VERSIONS_KEPT} are kept`,
      `looks at ${MOST_SUMMARISED.toLocaleString('en')} executions`,
    ])
      expect(text).toContain(limit)
  })
})
