import { readdirSync } from 'node:fs'
import { describe, expect, it } from 'vitest'
import { showFinding } from '../../src/core/errors.ts'
import { compileRules } from '../../src/rules/compile.ts'
import { action, compiled, context, findings, fixture, NOON, ruleset } from './build.ts'

const files = readdirSync(new URL('../fixtures/rules/bad', import.meta.url)).filter((f) => f.endsWith('.yaml'))

describe('bad rule files, PITFALLS 3: nothing is dropped silently', () => {
  it.each(files)('%s is refused, with its exact messages', (file) => {
    const { findings: found } = compileRules([{ file, text: fixture(`bad/${file}`) }], context)
    expect(found.map(showFinding).join('\n')).toBe(fixture(`bad/${file.replace('.yaml', '.txt')}`).trimEnd())
    expect(found.some((f) => f.severity === 'error')).toBe(true)
  })

  it('PITFALLS 4: a name may stand once in all files', () => {
    const file = (name: string) => ({ file: name, text: 'rules: [{ name: a, action: { type: suppress } }]' })
    const { findings: found } = compileRules([file('a.yaml'), file('b.yaml')], context)
    expect(found.map(showFinding)).toEqual(['b.yaml:1:17: error: the name "a" is taken: a.yaml:1'])
  })

  it.each([
    [
      '- { name: a, action: { type: deny } }',
      'rules.yaml:1:1: error: a rule file must be a mapping with "rules", not a list',
    ],
    ['deny', 'rules.yaml:1:1: error: a rule file must be a mapping with "rules", not the text "deny"'],
    ['rules: [deny]', 'rules.yaml:1:9: error: a rule must be a mapping, not the text "deny"'],
    [
      'rules: [{ name: a, action: { type: allow } }, null]',
      'rules.yaml:1:47: error: a rule must be a mapping, not null',
    ],
    [
      'rules: [{ name: a, condition: { field: action.payload.x, between: [b, a] }, action: { type: allow } }]',
      'error: "between" expects the smaller end first, not ["b", "a"]',
    ],
    [
      'rules: [{ name: a, action: { type: schedule, delay_seconds: 5, timezone: UTC } }]',
      'error: "timezone" has no meaning beside "delay_seconds"',
    ],
  ])('PITFALLS 1: %s', (text, message) => {
    expect(findings(text).map(showFinding).join('\n')).toContain(message)
  })

  it('an alias of itself ends', () => {
    const [first] = findings('rules:\n  - name: a\n    action: &a { type: modify, changes: { again: *a } }\n')
    expect(first?.message).toContain('aliases')
  })
})

describe('a file that is nested without end', () => {
  it.each([
    ['lists', `rules: ${'['.repeat(200)}${']'.repeat(200)}\n`],
    ['mappings', `rules: ${'{ a: '.repeat(200)}1${' }'.repeat(200)}\n`],
  ])('is refused: %s', (_, text) => {
    expect(findings(text).map((f) => f.message)).toContainEqual(
      expect.stringMatching(/levels once aliases are expanded/),
    )
  })
})

describe('warnings', () => {
  it('what is meant as a template and is none goes out as it is, and is a warning', () => {
    const text = `rules:
  - name: m
    action: { type: modify, changes: { a: "{{payload.x}", b: ["{{ payload.y | upper }}"], c: "{{payload.z}} {}}" } }
`
    expect(findings(text).map(showFinding)).toEqual([
      'rules.yaml:3:43: warning: "{{" without its "}}" is no template, and goes out as it is',
      'rules.yaml:3:63: warning: "{{ payload.y | upper }}": templates have no filters, and nothing is found under such a name',
    ])
    expect(compiled(text)).toHaveLength(1)
  })
  it('a rule whose loop is off is a warning, and still a rule', () => {
    const text = `rules:
  - { name: g, action: { type: group, group_by: [payload.floor] } }
  - { name: s, action: { type: schedule, delay_seconds: 5 } }
`
    const names = { ...context.names, loops: { groupFlush: false, scheduled: false } }
    expect(findings(text, { names }).map((f) => f.severity)).toEqual(['warning', 'warning'])
    expect(compiled(text, { names })).toHaveLength(2)
  })
  it('a group larger than the state store keeps is a warning, and lowered; the default is lowered without one', () => {
    const names = { ...context.names, mostGroupBytes: 100_000 }
    const group = (more: string) =>
      `rules:\n  - { name: g, action: { type: group, group_by: [payload.floor]${more} } }\n`
    const said = (more: string) => findings(group(more), { names }).map((f) => [f.severity, f.message])
    expect(said(', max_group_bytes: 100001')).toEqual([
      ['warning', 'max_group_bytes is lowered to 100000: the state store keeps no larger group'],
    ])
    expect(said(', max_group_bytes: 100000')).toEqual([])
    expect(said('')).toEqual([])
    for (const more of ['', ', max_group_bytes: 100001'])
      expect(ruleset(group(more), { names }).evaluate({ action: action(), now: NOON }).end).toMatchObject({
        kind: 'group',
        maxBytes: 100_000,
      })
  })
})

describe('${…} in rule files', () => {
  const delay = (value: string, environment: { [k: string]: string } = {}) => {
    const [rule] = compiled(`rules:\n  - name: a\n    action: { type: schedule, delay_seconds: ${value} }\n`, {
      environment,
    })
    const draft = {
      action: {} as never,
      now: 0,
      matched: [],
      guards: [],
      limits: [],
      effects: [],
      warnings: [],
      notes: undefined,
      failure: undefined,
      internal: false,
      here: undefined,
    }
    const end = rule!.stage(draft, () => ({ priority: 0, before: [] }))
    return end?.kind === 'schedule' ? end.dueAt : undefined
  }
  it('takes the type its key expects: a number', () => {
    expect(delay('"${ENERGY_DELAY:-60}"')).toBe(60_000)
    expect(delay('"${ENERGY_DELAY:-60}"', { ENERGY_DELAY: '2' })).toBe(2000)
    expect(delay('"${ENERGY_DELAY}"', { ENERGY_DELAY: '0.5' })).toBe(500)
  })
  it('unquoted, in block style, too', () => {
    const [rule] = compiled(
      'rules:\n  - name: a\n    enabled: ${ON:-false}\n    priority: ${P:-7}\n    action:\n      type: suppress\n',
    )
    expect(rule).toMatchObject({ enabled: false, priority: 7 })
  })
  it('text that looks like a number stays text where text is expected', () => {
    const [rule] = compiled('rules:\n  - name: ${N:-42}\n    description: ${D:-true}\n    action: { type: suppress }\n')
    expect(rule).toMatchObject({ name: '42', description: 'true' })
  })
  it('inside a text it is put in; $${…} stands for itself; what was put in is not expanded again', () => {
    const [rule] = compiled('rules:\n  - name: "a-${X}-$${Y}"\n    action: { type: suppress }\n', {
      environment: { X: '${Z}' },
    })
    expect(rule?.name).toBe('a-${Z}-${Y}')
  })
})
