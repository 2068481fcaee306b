import { describe, expect, it } from 'vitest'
import { ruleActions } from '../../src/rules/actions/index.ts'
import { operatorWords } from '../../src/rules/conditions/index.ts'
import { rulesJsonSchema } from '../../src/rules/schema.ts'

describe('the JSON Schema of rule files', () => {
  const schema = JSON.parse(JSON.stringify(rulesJsonSchema()))
  it('knows every rule action with its parameters', () => {
    const types = schema.$defs.action.oneOf.map(
      (a: { properties: { type: { const: string } } }) => a.properties.type.const,
    )
    expect(types).toEqual(ruleActions.map((a) => a.type))
    const throttle = schema.$defs.action.oneOf[types.indexOf('throttle')]
    expect(throttle).toMatchObject({ required: ['type', 'max_count', 'window_seconds'], additionalProperties: false })
    expect(Object.keys(throttle.properties)).toEqual(['type', 'max_count', 'window_seconds', 'key', 'message'])
    expect(throttle.properties.max_count.anyOf[0]).toMatchObject({ type: 'integer', minimum: 1 })
  })
  it('knows every operator, alias and key of a rule', () => {
    const leaf = schema.$defs.condition.anyOf.at(-1)
    expect(Object.keys(leaf.properties).sort()).toEqual(['field', 'ignore_case', ...operatorWords.keys()].sort())
    expect(Object.keys(schema.$defs.rule.properties)).toEqual([
      'name',
      'priority',
      'description',
      'enabled',
      'reentrant',
      'max_executions',
      'timezone',
      'condition',
      'action',
    ])
    expect(schema.$defs.rule.required).toEqual(['name', 'action'])
  })
})
