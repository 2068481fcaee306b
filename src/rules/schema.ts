import { z } from 'zod'
import { ruleActions } from './actions/index.ts'
import { ruleShape } from './compile.ts'
import { operatorWords } from './conditions/index.ts'

type Schema = { [key: string]: unknown }

/** JSON Schema (draft 2020-12) of one zod schema. `${…}` may stand for any number or boolean, so those take text of that form too. */
function jsonSchema(schema: z.ZodType): Schema {
  const { $schema: _schema, $defs: _defs, ...plain } = z.toJSONSchema(schema, { io: 'input', unrepresentable: 'any' })
  return withReferences(JSON.parse(JSON.stringify(plain), anyJson) as Schema)
}
/** The one schema that contains itself is that of JSON itself, and as a part of another its references would lead elsewhere: anything is JSON. */
const anyJson = (_key: string, v: unknown): unknown =>
  typeof v === 'object' && v !== null && '$ref' in v && /^#(\/\$defs\/__schema\d+)?$/.test(String(v.$ref)) ? {} : v
const REFERENCE = { type: 'string', pattern: '^\\$\\{[A-Za-z_][A-Za-z0-9_]*(:-[^}]*)?\\}$' }
function withReferences(schema: Schema): Schema {
  if (schema.type === 'number' || schema.type === 'integer' || schema.type === 'boolean')
    return { anyOf: [schema, REFERENCE] }
  const properties = schema.properties as { [key: string]: Schema } | undefined // toJSONSchema made it
  if (!properties) return schema
  const open = Object.entries(properties).map(([k, v]) => [k, withReferences(v)] as const)
  return { ...schema, properties: Object.fromEntries(open) }
}

function conditionSchema(): Schema {
  const condition = { $ref: '#/$defs/condition' }
  const list = { type: 'array', items: condition, minItems: 1 }
  const only = (key: string, inner: Schema): Schema => ({
    type: 'object',
    properties: { [key]: inner },
    required: [key],
    additionalProperties: false,
  })
  const words = [...operatorWords].map(([word, { operator }]) => [word, jsonSchema(operator.operand)] as const)
  const leaf = {
    type: 'object',
    properties: { field: { type: 'string' }, ignore_case: { type: 'boolean' }, ...Object.fromEntries(words) },
    required: ['field'],
    additionalProperties: false,
    minProperties: 2,
  }
  return {
    anyOf: [only('all', list), only('any', list), only('not', condition), only('cel', { type: 'string' }), leaf],
  }
}

function actionSchemas(): readonly Schema[] {
  return ruleActions.map(({ type, params, summary }) => {
    const { properties, required, ...plain } = jsonSchema(params)
    return {
      ...plain,
      description: summary,
      properties: { type: { const: type }, ...(properties as Schema) },
      required: ['type', ...((required as string[] | undefined) ?? [])],
    }
  })
}

/** The JSON Schema of rule files, from the tables the loader itself works by. For editors and documentation. */
export function rulesJsonSchema(): Schema {
  const { properties, ...rule } = jsonSchema(ruleShape)
  return {
    $schema: 'https://json-schema.org/draft/2020-12/schema',
    title: 'Signalbox rules',
    type: 'object',
    properties: { rules: { type: 'array', items: { $ref: '#/$defs/rule' } } },
    additionalProperties: false,
    $defs: {
      rule: {
        ...rule,
        properties: {
          ...(properties as Schema),
          condition: { $ref: '#/$defs/condition' },
          action: { $ref: '#/$defs/action' },
        },
        required: ['name', 'action'],
      },
      condition: conditionSchema(),
      action: { oneOf: actionSchemas() },
    },
  }
}
