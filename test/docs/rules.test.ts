import { describe, expect, it } from 'vitest'
import type { z } from 'zod'
import { actionFields } from '../../src/core/action.ts'
import { reservedActions, ruleActions } from '../../src/rules/actions/index.ts'
import { settable } from '../../src/rules/changes.ts'
import { ruleShape } from '../../src/rules/compile.ts'
import { operators, operatorWords } from '../../src/rules/conditions/index.ts'
import { templateRoots } from '../../src/rules/keys.ts'
import { timeFields } from '../../src/rules/time.ts'
import { codes, section, table } from './markdown.ts'

/** The reference of the rules against the tables they are compiled with. */

const page = 'docs/rules.md'

/** `name (required)`, `name (default)` or `name`, as the page writes a parameter. */
function parameter(schema: z.ZodObject, key: string): string {
  const one: z.ZodType = schema.shape[key] as z.ZodType // a shape holds nothing else
  const absent = one.safeParse(undefined)
  if (!absent.success) return `${key} (required)`
  return absent.data === undefined ? key : `${key} (${String(absent.data)})`
}

describe('docs/rules.md', () => {
  it('says every key of a rule with its default', () => {
    const said = table(page, undefined, 'Key', 'Default').map(([key = '', value = '']) => [
      codes(key)[0],
      codes(value)[0] ?? value,
    ])
    const rest = { name: 'required', action: 'required', priority: '0', enabled: 'true', reentrant: 'false' } as const
    const expected = Object.keys(ruleShape.shape).map((k) => [k, Object.hasOwn(rest, k) ? rest[k as 'name'] : '–'])
    expect(said).toEqual(expected)
    expect(ruleShape.parse({ name: 'x' })).toEqual({ name: 'x', priority: 0, enabled: true, reentrant: false })
  })

  it('says every operator with its other words and its opposites', () => {
    const said = table(page, 'Conditions', 'Operator', 'The same').map(
      ([name = '', same = '', not = '', operand, fold]) => [
        codes(name)[0],
        codes(same).toSorted(),
        codes(not).toSorted(),
        operand,
        fold,
      ],
    )
    const words = (name: string, negated: boolean) =>
      [...operatorWords].filter(([w, o]) => o.operator.name === name && o.negated === negated && w !== name)
    const expected = operators.map((o) => [
      o.name,
      words(o.name, false)
        .map(([w]) => w)
        .toSorted(),
      words(o.name, true)
        .map(([w]) => w)
        .toSorted(),
      o.expects,
      o.ignoresCase ? 'yes' : 'no',
    ])
    expect(said).toEqual(expected)
  })

  it('says every field a condition can read', () => {
    const said = table(page, 'Fields', 'Field').map(([f = '']) => codes(f)[0])
    expect(said).toEqual([...actionFields.map((f) => `action.${f}`), ...timeFields.map((f) => `time.${f}`), 'env.NAME'])
  })

  it('says every rule action, what it does with a match, and its parameters', () => {
    const said = table(page, 'Rule actions', '`type`', 'A match').map(([type = '', kind, params = '']) => [
      codes(type)[0],
      kind,
      params.replaceAll('`', '').split(', '),
    ])
    const expected = ruleActions.map((a) => [
      a.type,
      a.kind,
      Object.keys(a.params.shape).map((k) => parameter(a.params, k)),
    ])
    expect(said).toEqual(expected)
  })

  it('explains each rule action, what can be set, and what is refused', () => {
    const text = section(page, 'Rule actions')
    for (const { type } of ruleActions) expect(text).toContain(`**${type}**`)
    for (const path of settable) expect(text).toContain(`\`${path}\``)
    for (const word of reservedActions) expect(text).toContain(`\`${word}\``)
  })

  it('says what a template may begin with', () => {
    expect(table(page, 'Templates', 'Root').map(([r = '']) => codes(r)[0])).toEqual([...templateRoots])
  })
})
