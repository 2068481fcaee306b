import { readFileSync } from 'node:fs'
import { parse as parseToml } from 'smol-toml'
import { describe, expect, it } from 'vitest'
import { versionOf } from '../../src/chains/definitions/compile.ts'
import { parseChainDefinitions } from '../../src/chains/definitions/parse.ts'
import { stepKinds } from '../../src/chains/steps/index.ts'
import type { Json } from '../../src/core/json.ts'
import { guide, guideProviders, tests } from './set-up.ts'

const names = { providers: ['alpha', 'beta', ...guideProviders], tests }
const parse = (...raw: readonly unknown[]) => parseChainDefinitions(raw, names)
const step = (name: string, more: object = {}) => ({ name, provider: 'alpha', action_type: 'x', ...more })
const chain = (steps: readonly object[], more: object = {}) => ({ name: 'c', steps, ...more })
const issuesOf = (...raw: readonly unknown[]) =>
  parse(...raw).issues.map((i) => `${i.severity} ${i.path.join('/')}: ${i.message}`)

describe('chain definitions', () => {
  it("reads the guide's own TOML, its default_next below a branch as the step's, with a warning", () => {
    const toml = parseToml(readFileSync(new URL('../fixtures/guide/gateway.toml', import.meta.url), 'utf8'))
    const { definitions } = toml['chains'] as unknown as { definitions: unknown[] }
    const read = parse(...definitions)
    expect(read.issues).toEqual([
      {
        path: [0, 'steps', 1, 'branches', 0, 'default_next'],
        message: "default_next stands inside a branch and is read as the step's; write it above the branches",
        severity: 'warning',
      },
    ])
    expect(read.definitions.map((d) => d.name)).toEqual(['telemetry-processing', 'critical-alert'])
    const detect = read.definitions[0]!.steps[1]!
    expect(detect.default_next).toBe('archive-metrics')
    expect(detect.branches).toEqual([{ field: 'success', operator: 'eq', value: true, target: 'publish-event' }])
  })

  it('two different default_next of one step are an error, the same twice only a warning', () => {
    const at = (own: string, inner: string) =>
      issuesOf(
        chain([
          step('a', {
            default_next: own,
            branches: [{ field: 'success', operator: 'eq', value: true, target: 'b', default_next: inner }],
          }),
          step('b'),
          step('d'),
        ]),
      )
    expect(at('b', 'd')).toEqual(['error 0/steps/0/branches/0/default_next: the step has another default_next already'])
    expect(at('d', 'd')).toEqual([expect.stringMatching(/^warning 0\/steps\/0\/branches\/0\/default_next/)])
  })

  const bad: [string, readonly unknown[], string | RegExp][] = [
    ['a name twice', [chain([step('a')]), chain([step('a')])], 'error 1/name: there are two chains named "c"'],
    ['a step twice', [chain([step('a'), step('a')])], 'error 0/steps/1/name: there are two steps named "a"'],
    [
      'an unknown key',
      [chain([step('a')], { timeout_second: 5 })],
      'error 0/timeout_second: "timeout_second" is no key of a chain; did you mean "timeout_seconds"?',
    ],
    [
      'an unknown key of a step',
      [chain([step('a', { payload_templat: {} })])],
      'error 0/steps/0/payload_templat: "payload_templat" is no key of a provider step; did you mean "payload_template"?',
    ],
    [
      'a key of another kind',
      [chain([{ name: 'a', sub_chain: 'c2', action_type: 'x' }]), { name: 'c2', steps: [step('a')] }],
      /error 0\/steps\/0\/action_type: "action_type" is no key of a sub_chain step/,
    ],
    [
      'an unknown key of a branch',
      [chain([step('a', { branches: [{ field: 'success', op: 'eq', operator: 'eq', target: 'a' }] })])],
      /error 0\/steps\/0\/branches\/0\/op: "op" is no key/,
    ],
    [
      'no kind',
      [chain([{ name: 'a', provder: 'x', action_type: 'y' }])],
      'error 0/steps/0: a step has exactly one of provider, sub_chain, parallel, for_each, wait, wait_for_signal, condition, set, dispatch, end; this one has none; did you mean "provider"?',
    ],
    [
      'two kinds',
      [chain([step('a', { sub_chain: 'c' })])],
      'error 0/steps/0: a step has exactly one of provider, sub_chain, parallel, for_each, wait, wait_for_signal, condition, set, dispatch, end; this one has provider and sub_chain',
    ],
    [
      'an unknown provider',
      [chain([step('a', { provider: 'alpa' })])],
      'error 0/steps/0/provider: there is no provider "alpa"; did you mean "alpha"?',
    ],
    [
      'an unknown fallback',
      [chain([step('a', { fallback_provider: 'bta' })])],
      'error 0/steps/0/fallback_provider: there is no provider "bta"; did you mean "beta"?',
    ],
    [
      'itself as fallback',
      [chain([step('a', { fallback_provider: 'alpha' })])],
      'error 0/steps/0/fallback_provider: a provider cannot be its own fallback',
    ],
    [
      'an unknown sub-chain',
      [chain([{ name: 'a', sub_chain: 'd' }])],
      /error 0\/steps\/0\/sub_chain: there is no chain "d"/,
    ],
    [
      'an unknown target',
      [chain([step('one', { default_next: 'tow' }), step('two')])],
      'error 0/steps/0/default_next: chain "c" has no step "tow"; did you mean "two"?',
    ],
    [
      'an unknown branch target',
      [chain([step('a', { branches: [{ field: 'success', operator: 'eq', value: true, target: 'zzzz' }] })])],
      'error 0/steps/0/branches/0/target: chain "c" has no step "zzzz"',
    ],
    [
      'an unknown operator',
      [chain([step('a', { branches: [{ field: 'success', operator: 'eqq', value: true, target: 'a' }] })])],
      'error 0/steps/0/branches/0/operator: there is no operator "eqq"; did you mean "eq"?',
    ],
    [
      'a value the operator does not take',
      [chain([step('a', { branches: [{ field: 'status', operator: 'gt', value: 'x', target: 'a' }] })])],
      'error 0/steps/0/branches/0/value: gt takes a number',
    ],
    [
      'an unknown field',
      [chain([step('a', { branches: [{ field: 'sucess', operator: 'eq', value: true, target: 'a' }] })])],
      /error 0\/steps\/0\/branches\/0\/field: a branch field begins with one of success.*did you mean "success"/,
    ],
    [
      'a field of an unknown step',
      [chain([step('one', { branches: [{ field: 'steps.on.body', operator: 'eq', value: 1, target: 'one' }] })])],
      /error 0\/steps\/0\/branches\/0\/field: chain "c" has no step "on"; did you mean "one"/,
    ],
    [
      'a template of an unknown step',
      [chain([step('one', { payload_template: { a: ['{{ steps.onne.body }}'] } })])],
      'error 0/steps/0/payload_template/a/0: {{steps.onne.body}}: chain "c" has no step "onne"; did you mean "one"?',
    ],
    [
      'a template of nothing known',
      [chain([step('a', { payload_template: { a: '{{orign.payload.x}}' } })])],
      /error 0\/steps\/0\/payload_template\/a: \{\{orign.payload.x\}\}: a template reference begins with one of origin.*did you mean "origin"/,
    ],
    ['no steps', [chain([])], /error 0\/steps: /],
    ['51 steps', [chain(Array.from({ length: 51 }, (_, i) => step(`s${i}`)))], /error 0\/steps: .*50/],
    ['a dotted step name', [chain([step('a.b')])], 'error 0/steps/0/name: must have no dots, braces or spaces'],
    ['a timeout of nothing', [chain([step('a')], { timeout_seconds: 0 })], /error 0\/timeout_seconds/],
    [
      'a date in a template',
      [chain([step('a', { payload_template: { at: new Date(0) } })])],
      /error 0\/steps\/0\/payload_template: must be JSON data/,
    ],
    ['no table', ['text'], /error 0: /],
    [
      'a step nobody leads to',
      [chain([step('a', { default_next: 'z' }), step('b'), step('z')])],
      'error 0/steps/1: no step leads to "b"',
    ],
    [
      'a loop without an exit',
      [chain([step('a'), step('b', { default_next: 'a' })])],
      'error 0/steps/0: a loop without an exit: from "a", "b" the chain never ends',
    ],
    [
      'itself as sub-chain',
      [chain([{ name: 'a', sub_chain: 'c' }])],
      'error 0/steps/0/sub_chain: a chain cannot be its own sub-chain: c → c',
    ],
    [
      'itself by way of another',
      [chain([{ name: 'a', sub_chain: 'd' }]), { name: 'd', steps: [{ name: 'x', sub_chain: 'c' }] }],
      'error 0/steps/0/sub_chain: a chain cannot be its own sub-chain: c → d → c',
    ],
  ]
  it.each(bad)('refuses %s', (_, raw, message) => {
    const found = issuesOf(...raw)
    expect(found).toContainEqual(typeof message === 'string' ? message : expect.stringMatching(message))
    expect(parse(...raw).definitions.length).toBeLessThan(raw.length)
  })

  it('a loop with an exit is fine', () => {
    const loop = chain([
      step('try', { branches: [{ field: 'success', operator: 'eq', value: false, target: 'try' }] }),
      step('done'),
    ])
    expect(issuesOf(loop)).toEqual([])
  })

  it('says everything at once, and keeps what is right', () => {
    const read = parse(chain([step('a', { provider: 'x' }), step('a')]), { name: 'good', steps: [step('a')] })
    expect(read.issues).toHaveLength(2)
    expect(read.definitions.map((d) => d.name)).toEqual(['good'])
  })

  it('a name defined elsewhere is taken, and may be a sub-chain', () => {
    const other = parse({ name: 'other', steps: [step('a')] }).definitions
    const raw = [
      { name: 'other', steps: [step('a')] },
      { name: 'mine', steps: [{ name: 'a', sub_chain: 'other' }] },
    ]
    expect(parseChainDefinitions(raw, { ...names, others: other }).issues).toEqual([
      { path: [0, 'name'], message: 'chain "other" is defined elsewhere already', severity: 'error' },
    ])
  })

  it('payload keys named __proto__ and constructor are data', () => {
    const template = JSON.parse('{"__proto__": "{{origin.id}}", "constructor": 1}') as Json
    const [read] = parse(chain([step('a', { payload_template: template })])).definitions
    expect(JSON.stringify(read!.steps[0])).toContain('"__proto__":"{{origin.id}}"')
  })

  it('equal content has an equal version, whatever the order of keys; other content another', () => {
    const [a] = parse({ name: 'c', steps: [step('s')] }).definitions
    const [b] = parse({ steps: [{ action_type: 'x', provider: 'alpha', name: 's' }], name: 'c' }).definitions
    const [c] = parse({ name: 'c', steps: [step('s')], timeout_seconds: 1 }).definitions
    expect(versionOf(a!)).toBe(versionOf(b!))
    expect(versionOf(a!)).not.toBe(versionOf(c!))
    expect(parse(...guide).definitions.map(versionOf)).toHaveLength(2)
  })

  it('the table of step kinds names each by its key', () => {
    expect(Object.entries(stepKinds).map(([key, kind]) => [key, kind.key])).toEqual(
      Object.keys(stepKinds).map((k) => [k, k]),
    )
  })
})

describe('templates that come to nothing are warnings', () => {
  it.each([
    ['{{origin.payload.x}', '"{{" without its "}}" is no template, and goes out as it is'],
    [
      '{{origin.payload.x | upper}}',
      '"{{origin.payload.x | upper}}": templates have no filters, and nothing is found under such a name',
    ],
    [
      'n {{prev.id}}',
      '{{prev.id}}: a result has success, fallback, provider, status, body, error; what the step gave is in its body',
    ],
    [
      '{{steps.a.id}}',
      '{{steps.a.id}}: a result has success, fallback, provider, status, body, error; what the step gave is in its body',
    ],
    ['{{steps.a.body.id}} {{prev.status}} {{prev}} {{steps.a}} {}}', undefined],
  ])('%s', (text, message) => {
    const raw = chain([step('a'), { ...step('b'), payload_template: { x: text } }])
    const expected = message === undefined ? [] : [`warning 0/steps/1/payload_template/x: ${message}`]
    expect(issuesOf(raw)).toEqual(expected)
    expect(parse(raw).definitions).toHaveLength(1)
  })
})

describe('all that is wrong, at once', () => {
  it('names are looked up beside what is wrong with shapes, in words of our own', () => {
    const lines = issuesOf({
      name: 'a\u0000',
      steps: [
        { name: 'a.b', provider: 'alpah', colour: 1, default_next: 't' },
        step('t', { retry: { max_attempts: 0 } }),
      ],
    })
    expect(lines).toEqual([
      'error 0/steps/0/name: must have no dots, braces or spaces',
      'error 0/steps/0/action_type: is required',
      'error 0/steps/0/colour: "colour" is no key of a provider step; it has name, needs, branches, default_next, timeout_seconds, delay_seconds, retry, on_failure, allow_failure, compensate, cache_ttl_seconds, cache_key, provider, action_type, payload_template, fallback_provider',
      'error 0/steps/1/retry/max_attempts: must be at least 1',
      'error 0/name: must have no control characters',
      'error 0/steps/0/provider: there is no provider "alpah"; did you mean "alpha"?',
    ])
    expect(issuesOf(chain([{ ...step('a'), foo: 1, provider: 'q', default_next: 't' }]))).toEqual([
      'error 0/steps/0/foo: "foo" is no key of a provider step; it has name, needs, branches, default_next, timeout_seconds, delay_seconds, retry, on_failure, allow_failure, compensate, cache_ttl_seconds, cache_key, provider, action_type, payload_template, fallback_provider',
      'error 0/steps/0/provider: there is no provider "q"',
      'error 0/steps/0/default_next: chain "c" has no step "t"; did you mean "a"?',
    ])
    expect(issuesOf({ name: 'c', steps: [], priority: 'hihg' })).toEqual([
      'error 0/priority: expected one of high, normal, low; did you mean "high"?',
      'error 0/steps: must not be empty',
    ])
  })
  it('where what leads somewhere is at fault, nothing is said of where it leads', () => {
    expect(issuesOf(chain([step('a', { default_nxt: 'c' }), step('b'), step('c')]))).toEqual([
      'error 0/steps/0/default_nxt: "default_nxt" is no key of a provider step; did you mean "default_next"?',
    ])
    expect(issuesOf(chain([step('a', { branches: 5 }), { sub_chain: 'non' }]))).toEqual([
      'error 0/steps/0/branches: expected a list',
      'error 0/steps/1/name: is required',
    ])
  })
})
