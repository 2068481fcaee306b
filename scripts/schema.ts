/** Writes the JSON Schemas in schema/ from the tables the loaders themselves work by: `npx node scripts/schema.ts`. */
import { execFileSync } from 'node:child_process'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { z } from 'zod'
import { breakerShape, providerCommon, sections } from '../src/app/config/schema.ts'
import { OF_THE_GROUP } from '../src/chains/definitions/read-step.ts'
import { chainShape, commonStep } from '../src/chains/model/shape.ts'
import { stepKinds } from '../src/chains/steps/index.ts'
import { providerTypes } from '../src/providers/index.ts'
import { rulesJsonSchema } from '../src/rules/schema.ts'

type Schema = { [key: string]: unknown }
type Properties = { [key: string]: Schema }

const REFERENCE = { type: 'string', pattern: '^\\$\\{[A-Za-z_][A-Za-z0-9_]*(:-[^}]*)?\\}$' }
const WITH_REFERENCE = { type: 'string', pattern: '\\$\\{' }

/** `${NAME}` may stand for any number or boolean, and in any text. */
function open(schema: Schema): Schema {
  const { type, properties } = schema
  if (type === 'number' || type === 'integer' || type === 'boolean') return { anyOf: [schema, REFERENCE] }
  if (type === 'string' && ['enum', 'format', 'pattern'].some((k) => k in schema))
    return { anyOf: [schema, WITH_REFERENCE] }
  if (!properties) return schema
  const inner = Object.entries(properties as Properties) // toJSONSchema made it
  return { ...schema, properties: Object.fromEntries(inner.map(([k, v]) => [k, open(v)])) }
}

function schemaOf(type: z.ZodType): Schema {
  const { $schema: _, ...plain } = z.toJSONSchema(type, { io: 'input', unrepresentable: 'any' })
  return open(plain)
}

const NAMES = new Set(['name', 'type'])
const takesText = (schema: Schema): boolean =>
  schema.type === 'string' || (Array.isArray(schema.anyOf) && (schema.anyOf[0] as Schema).type === 'string')

/** A provider's key that takes text may be read from a file instead: `key_file`, also where the key is required. */
function withFiles(properties: Properties, required: readonly string[]): Schema {
  const texts = Object.keys(properties).filter((k) => !NAMES.has(k) && takesText(properties[k]!))
  const files = texts.map((k) => [`${k}_file`, { type: 'string', description: `a file that holds ${k}` }] as const)
  const either = texts.filter((k) => required.includes(k))
  return {
    type: 'object',
    properties: { ...properties, ...Object.fromEntries(files) },
    required: required.filter((k) => !either.includes(k)),
    ...(either.length > 0 && {
      allOf: either.map((k) => ({ anyOf: [{ required: [k] }, { required: [`${k}_file`] }] })),
    }),
    additionalProperties: false,
  }
}

function providerSchemas(): readonly Schema[] {
  const common = schemaOf(providerCommon)
  return providerTypes.map(({ type, config }) => {
    const own = schemaOf(config)
    const properties = {
      ...(common.properties as Properties),
      type: { const: type },
      ...(own.properties as Properties),
    }
    return withFiles(properties, ['name', 'type', ...((own.required as readonly string[] | undefined) ?? [])])
  })
}

const LEAF = { $ref: '#/$defs/step_inside_a_group' }
/** The step of a `for_each` needs no name. */
const NAMELESS = { $ref: '#/$defs/step_for_each_item' }

function chainSchema(): Schema {
  const steps = Object.values(stepKinds).map((kind) => {
    const step = schemaOf(z.strictObject({ ...commonStep, ...kind.shape }))
    const properties = step.properties as Properties
    const group = properties[kind.key]?.properties as Properties | undefined
    if (group?.branches) group.branches = { type: 'array', minItems: 1, items: LEAF }
    if (group?.step) group.step = NAMELESS
    return step
  })
  const chain = schemaOf(chainShape)
  const properties = chain.properties as Properties
  return { ...chain, properties: { ...properties, steps: { ...properties.steps, items: { anyOf: steps } } } }
}
function innerSteps(): Properties {
  const common = z.strictObject(commonStep).omit(Object.fromEntries(OF_THE_GROUP.map((k) => [k, true])) as Omitted)
  const leaves = Object.values(stepKinds).filter((kind) => kind.leaf)
  const read = (name: z.ZodRawShape) =>
    leaves.map((kind) => schemaOf(z.strictObject({ ...common.shape, ...kind.shape, ...name })))
  return {
    step_inside_a_group: { anyOf: read({}) },
    step_for_each_item: { anyOf: read({ name: commonStep.name.optional() }) },
  }
}
type Omitted = { [K in (typeof OF_THE_GROUP)[number]]: true }

/** The JSON Schema of gateway.toml. What no single key can say (names that exist, keys that belong together) is `check`'s to find. */
export function gatewayJsonSchema(): Schema {
  const all = schemaOf(sections)
  const tables = all.properties as { [section: string]: { properties: Schema } }
  const put = (section: string, key: string, value: unknown): void => {
    tables[section]!.properties[key] = value
  }
  put('circuit_breaker', 'providers', { type: 'object', additionalProperties: schemaOf(breakerShape) })
  put('chains', 'definitions', { type: 'array', items: chainSchema() })
  return {
    $schema: 'https://json-schema.org/draft/2020-12/schema',
    title: 'Signalbox configuration',
    ...all,
    properties: { ...tables, providers: { type: 'array', items: { anyOf: providerSchemas() } } },
    $defs: innerSteps(),
  }
}

/** Each file of schema/ with its text. */
export const schemaFiles = (): readonly (readonly [name: string, text: string])[] => [
  ['rules.schema.json', JSON.stringify(rulesJsonSchema())],
  ['gateway.schema.json', JSON.stringify(gatewayJsonSchema())],
]

if (import.meta.url === pathToFileURL(process.argv[1] ?? '').href) {
  const root = join(import.meta.dirname, '..')
  for (const [name, text] of schemaFiles()) writeFileSync(join(root, 'schema', name), text)
  execFileSync(join(root, 'node_modules', '.bin', 'biome'), ['format', '--write', join(root, 'schema')])
}
