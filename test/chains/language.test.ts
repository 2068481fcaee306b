import { describe, expect, it } from 'vitest'
import { parseChainDefinitions } from '../../src/chains/definitions/parse.ts'
import { isGraph } from '../../src/chains/model/definition.ts'
import { comparisons } from '../../src/rules/conditions/index.ts'

/** The language of chains beyond steps in a row: what it takes, and what it refuses with which words and where. */

const names = { providers: ['alpha', 'beta'], tests: comparisons }
const step = (name: string, more: object = {}) => ({ name, provider: 'alpha', action_type: 'x', ...more })
const says = (what: string, name = 't') => step(name, { payload_template: { v: what } })
const parse = (steps: readonly unknown[], more: object = {}, others: readonly object[] = []) =>
  parseChainDefinitions([{ name: 'c', steps, ...more }, ...others], names)
const issues = (steps: readonly unknown[], more: object = {}, others: readonly object[] = []) =>
  parse(steps, more, others).issues.map((i) => {
    const where = i.path.slice(1).join('/')
    return `${i.severity === 'error' ? '' : `${i.severity} `}${where}: ${i.message}`
  })
const parallel = (branches: readonly object[], more: object = {}) => ({ name: 'g', parallel: { branches, ...more } })
const each = (inner: object, more: object = {}) => ({
  name: 'g',
  for_each: { items: '{{origin.payload.list}}', step: inner, ...more },
})
/** `then` and `else` of a condition. */
const go = (yes: string, no: string) =>
  Object.fromEntries([
    ['then', yes],
    ['else', no],
  ])
const choose = (condition: object, more: object = { else: 'z' }) => [
  { name: 'if', condition, ...more },
  step('a'),
  step('z'),
]

const all = [
  step('reserve', {
    retry: { max_attempts: 3, backoff: 'exponential', initial_ms: 100, max_ms: 1000 },
    timeout_seconds: 10,
    delay_seconds: 0.5,
    compensate: {
      provider: 'beta',
      action_type: 'release',
      payload_template: { id: '{{result.body.id}}', of: '{{steps.pay.body}}' },
    },
    cache_ttl_seconds: 60,
    cache_key: '{{origin.payload.sku}}',
  }),
  {
    name: 'enough',
    condition: { all: [{ field: 'prev.body.n', gt: 3 }, { cel: 'steps.reserve.success' }] },
    ...go('both', 'ask'),
  },
  { name: 'ask', wait_for_signal: { signal: 'ok-{{origin.id}}', timeout_seconds: 60, on_timeout: 'goto:end' } },
  parallel([step('mail', { retry: { max_attempts: 2 } }), { name: 'sub', sub_chain: 'other' }], {
    join: 1,
    on_failure: 'best_effort',
  }),
  {
    name: 'both',
    for_each: {
      items: '{{steps.reserve.body.items}}',
      max_concurrency: 5,
      step: step('x', { payload_template: { at: '{{index}}', it: '{{item.id}}' } }),
    },
  },
  { name: 'pause', wait: { seconds: '{{origin.payload.wait}}' } },
  { name: 'sum', set: { total: { cel: 'steps.reserve.body.n + 1' }, text: '{{prev.body}}' } },
  {
    name: 'pay',
    dispatch: { action_type: 'pay', payload: { n: '{{steps.sum.body.total}}' }, metadata: { a: 'b' } },
    on_failure: 'goto:end',
  },
  { name: 'end', wait: { until: '2026-01-31T08:00:00Z' } },
]
const whole = {
  description: 'all of it',
  enabled: false,
  timeout_seconds: 60,
  priority: 'high',
  max_concurrent: 3,
  lock_by: 'payload.device_id',
  reentrant: true,
  attributes: { order: '{{origin.payload.order}}' },
}
const other = { name: 'other', steps: [step('s')] }

describe('the language of chains', () => {
  it('keeps what it reads as it was written', () => {
    const read = parse(all, whole, [other])
    expect(read.issues).toEqual([])
    expect(read.definitions[0]).toEqual({ name: 'c', ...whole, steps: all })
  })

  it("the step of a for_each needs no name: it has the group's", () => {
    const { name: _, ...nameless } = step('')
    const [read] = parse([each(nameless)]).definitions
    expect(read!.steps[0]).toMatchObject({ name: 'g', for_each: { step: { name: 'g', provider: 'alpha' } } })
  })

  it('needs make a graph, in any order of the file', () => {
    const read = parse([
      step('d', { needs: ['b', 'c'], payload_template: { v: '{{steps.a.body}}' } }),
      step('b', { needs: ['a'] }),
      step('c', { needs: ['a'] }),
      step('a'),
    ])
    expect(read.issues).toEqual([])
    expect(isGraph(read.definitions[0]!)).toBe(true)
  })
})

type Bad = readonly [what: string, found: readonly string[], expected: readonly (string | RegExp)[]]
const expectAll = (found: readonly string[], expected: readonly (string | RegExp)[]) =>
  expect(found).toEqual(expected.map((e) => (typeof e === 'string' ? e : expect.stringMatching(e))))

describe('refused inside groups', () => {
  const members = 'provider, sub_chain, wait, wait_for_signal, set, dispatch'
  it.each<Bad>([
    [
      'what says where to go',
      issues([
        parallel([
          step('a', { needs: ['b'], branches: [], default_next: 'b', on_failure: 'abort', allow_failure: true }),
        ]),
      ]),
      ['needs', 'branches', 'default_next', 'on_failure', 'allow_failure'].map(
        (k) => `steps/0/parallel/branches/0/${k}: "${k}" has no place inside a group: the group says what follows`,
      ),
    ],
    [
      'a group',
      issues([parallel([parallel([step('a')])])]),
      [`steps/0/parallel/branches/0: a step inside a group has exactly one of ${members}; this one has parallel`],
    ],
    [
      'a condition',
      issues([each({ condition: { cel: 'true' } })]),
      [`steps/0/for_each/step: a step inside a group has exactly one of ${members}; this one has condition`],
    ],
    [
      'no kind',
      issues([each({ provder: 'x' })]),
      [
        `steps/0/for_each/step: a step inside a group has exactly one of ${members}; this one has none; did you mean "provider"?`,
      ],
    ],
    [
      'no name',
      issues([parallel([{ provider: 'alpha', action_type: 'x' }])]),
      [/^steps\/0\/parallel\/branches\/0\/name: /],
    ],
    ['no step', issues([{ name: 'g', for_each: { items: [1] } }]), ['steps/0/for_each/step: must be a step']],
    ['no table', issues([parallel(['text' as never])]), ['steps/0/parallel/branches/0: a step is a table']],
    ['no branches', issues([parallel([])]), ['steps/0/parallel/branches: must be a list of 1 to 50 steps']],
    [
      'a name twice',
      issues([parallel([step('a'), step('a')])]),
      ['steps/0/parallel/branches/1/name: there are two branches named "a"'],
    ],
    [
      'an unknown provider, deep inside',
      issues([each(step('a', { provider: 'alpa' }))]),
      ['steps/0/for_each/step/provider: there is no provider "alpa"; did you mean "alpha"?'],
    ],
    [
      'an unknown key, of the group and of its steps',
      issues([parallel([step('a', { paylod_template: {} })], { joins: 'all' })]),
      [
        'steps/0/parallel/branches/0/paylod_template: "paylod_template" is no key of a provider step; did you mean "payload_template"?',
        'steps/0/parallel/joins: "joins" is no key of parallel; did you mean "join"?',
      ],
    ],
    [
      'names inside, whatever is wrong with the group itself',
      [
        ...issues([parallel([step('a', { provider: 'alpa' }), says('{{steps.none.body}}', 'b')], { join: 'most' })]),
        ...issues([each(says('{{itm.x}}'), { max_itms: 3 })]),
        ...issues([each(says('{{item.x}}'), { max_items: 0 }), { name: 's', sub_chain: 'nobody' }]),
      ],
      [
        'steps/0/parallel/join: must be all, any or a number',
        'steps/0/parallel/branches/0/provider: there is no provider "alpa"; did you mean "alpha"?',
        'steps/0/parallel/branches/1/payload_template/v: {{steps.none.body}}: chain "c" has no step "none"',
        'steps/0/for_each/max_itms: "max_itms" is no key of for_each; did you mean "max_items"?',
        /^steps\/0\/for_each\/step\/payload_template\/v: {{itm.x}}: a template reference begins with/,
        'steps/0/for_each/max_items: must be at least 1',
        'steps/1/sub_chain: there is no chain "nobody"',
      ],
    ],
    [
      'a join of nothing',
      issues([parallel([step('a')], { join: 'most' })]),
      ['steps/0/parallel/join: must be all, any or a number'],
    ],
    ...['2026-13-45T99:99:99Z', '2026-02-31T00:00:00Z', '2026-01-01T00:00:00+99:99', '2026-01-01'].map(
      (until): Bad => [
        `a wait until ${until}`,
        issues([{ name: 'w', wait: { until } }]),
        ['steps/0/wait/until: until is a moment like 2026-01-31T08:00:00Z (RFC 3339), or a template that gives one'],
      ],
    ),
    [
      'a type that is made up later',
      issues([{ name: 'd', dispatch: { action_type: '{{origin.payload.type}}' } }]),
      ['steps/0/dispatch/action_type: action_type is sent as it is written: a template has no place in it'],
    ],
    [
      'a join nobody can meet',
      issues([parallel([step('a'), step('b')], { join: 3 })]),
      ['steps/0/parallel/join: join is 3, and there are 2 branches'],
    ],
    [
      'a step to go to',
      issues([
        parallel([{ name: 'a', wait_for_signal: { signal: 's', timeout_seconds: 1, on_timeout: 'goto:z' } }]),
        step('z'),
      ]),
      ['steps/0/parallel/branches/0/wait_for_signal/on_timeout: inside a group there is no step to go to'],
    ],
    [
      'items that are no list',
      issues([each(step('a'), { items: 'a {{origin.payload.list}}' })]),
      ['steps/0/for_each/items: items is a list, or one template that gives one'],
    ],
    [
      'more items than allowed',
      issues([each(step('a'), { items: [1, 2, 3], max_items: 2 })]),
      ['steps/0/for_each/items: there are 3 items, and 2 are allowed'],
    ],
    [
      'too many steps, those inside counted',
      issues([...Array.from({ length: 47 }, (_, i) => step(`s${i}`)), parallel([step('a'), step('b'), step('d')])]),
      ['steps: a chain has at most 50 steps, those inside groups included; this one has 51'],
    ],
  ])('%s', (_, found, expected) => expectAll(found, expected))
})

describe('refused in graphs', () => {
  const place = (what: string) => `a chain with needs is a graph: ${what} has no place in it`
  it.each<Bad>([
    [
      'branches and default_next',
      issues([
        step('a', { branches: [{ field: 'success', operator: 'eq', value: true, target: 'b' }], default_next: 'b' }),
        step('b', { needs: ['a'] }),
      ]),
      [`steps/0/branches: ${place('branches')}`, `steps/0/default_next: ${place('default_next')}`],
    ],
    [
      'a condition',
      issues([...choose({ cel: 'true' }), step('n', { needs: ['a'] })]),
      [`steps/0/condition: ${place('a condition step')}`],
    ],
    [
      'goto',
      issues([
        step('a', { on_failure: 'goto:b', needs: [] }),
        { name: 'b', wait_for_signal: { signal: 's', timeout_seconds: 1, on_timeout: 'goto:a' } },
      ]),
      [`steps/0/on_failure: ${place('goto:')}`, `steps/1/wait_for_signal/on_timeout: ${place('goto:')}`],
    ],
    [
      'an unknown need',
      issues([step('one'), step('b', { needs: ['on'] })]),
      ['steps/1/needs/0: chain "c" has no step "on"; did you mean "one"?'],
    ],
    ['itself', issues([step('a', { needs: ['a'] })]), ['steps/0/needs/0: a step cannot need itself']],
    [
      'a need twice',
      issues([step('a'), step('b', { needs: ['a', 'a'] })]),
      ['steps/1/needs/1: "a" stands there twice'],
    ],
    [
      'a circle',
      issues([
        step('a', { needs: ['d'] }),
        step('b', { needs: ['a'] }),
        step('d', { needs: ['b'] }),
        step('e', { needs: ['d'] }),
      ]),
      ['steps/0/needs: steps that need each other never begin: a → d → b → a'],
    ],
    [
      'a template of a step that runs beside it',
      issues([step('a'), step('b', { needs: ['a'] }), { ...says('{{steps.b.body}}'), needs: ['a'] }]),
      [
        'steps/2/payload_template/v: {{steps.b.body}}: "b" is none of the steps that must have ended first: say so with needs',
      ],
    ],
  ])('%s', (_, found, expected) => expectAll(found, expected))
})

describe('references to what cannot have run', () => {
  const no = (name: string) => `"${name}" cannot have run before: no way leads from it to here`
  it.each<Bad>([
    [
      'a later step',
      issues([says('{{steps.b.body}}'), step('b')]),
      [`steps/0/payload_template/v: {{steps.b.body}}: ${no('b')}`],
    ],
    ['itself', issues([says('{{steps.t.body}}')]), [`steps/0/payload_template/v: {{steps.t.body}}: ${no('t')}`]],
    [
      'another branch',
      issues([
        step('a', { branches: [{ field: 'success', operator: 'eq', value: true, target: 't' }], default_next: 'b' }),
        step('b', { default_next: 'z' }),
        says('{{steps.b.body}}'),
        step('z'),
      ]),
      [`steps/2/payload_template/v: {{steps.b.body}}: ${no('b')}`],
    ],
    [
      'from inside a group',
      issues([parallel([says('{{steps.b.body}}')]), step('b')]),
      [`steps/0/parallel/branches/0/payload_template/v: {{steps.b.body}}: ${no('b')}`],
    ],
    [
      'a branch beside it',
      issues([parallel([step('m'), says('{{steps.m.body}}')])]),
      [
        'steps/0/parallel/branches/1/payload_template/v: {{steps.m.body}}: chain "c" has no step "m"; it is a branch of "g": steps.g.body.m',
      ],
    ],
    [
      'a branch field',
      issues([
        step('a', { branches: [{ field: 'steps.b.success', operator: 'eq', value: true, target: 'b' }] }),
        step('b'),
      ]),
      [`steps/0/branches/0/field: ${no('b')}`],
    ],
    [
      'a field of a condition',
      issues(choose({ not: { any: [{ field: 'steps.a.success', eq: true }] } })),
      [`steps/0/condition/not/any/0/field: steps.a.success: ${no('a')}`],
    ],
    [
      'an expression of a condition',
      issues(choose({ all: [{ cel: 'steps.z.body.n > 1' }] })),
      [`steps/0/condition/all/0/cel: steps.z.body.n: ${no('z')}`],
    ],
    [
      'an expression of set',
      issues([{ name: 's', set: { n: { cel: 'steps["z"].body' } } }, step('z')]),
      [`steps/0/set/n/cel: steps.z.body: ${no('z')}`],
    ],
    [
      'a cache key',
      issues([step('a', { cache_ttl_seconds: 1, cache_key: '{{steps.z.body}}' }), step('z')]),
      [`steps/0/cache_key: {{steps.z.body}}: ${no('z')}`],
    ],
    [
      'what is there in other places only',
      issues([
        says('{{item.id}}'),
        { name: 's', set: { n: { cel: 'index + 1' }, m: '{{result.body}}' } },
        step('u', { compensate: { provider: 'alpha', action_type: 'x', payload_template: '{{index}}' } }),
      ]),
      [
        'steps/0/payload_template/v: {{item.id}}: "item" is there inside a for_each only',
        'steps/1/set/m: {{result.body}}: "result" is there inside compensate only',
        'steps/1/set/n/cel: index: "index" is there inside a for_each only',
        'steps/2/compensate/payload_template: {{index}}: "index" is there inside a for_each only',
      ],
    ],
    [
      'an attribute of anything but the origin',
      issues([step('a')], { attributes: { x: '{{steps.a.body}}', y: '{{orign.id}}' } }),
      [
        'attributes/x: {{steps.a.body}}: an attribute begins with one of origin',
        'attributes/y: {{orign.id}}: an attribute begins with one of origin; did you mean "origin"?',
      ],
    ],
  ])('%s', (_, found, expected) => expectAll(found, expected))

  it('a loop leads back, so a step may see its own last result; compensate may see any', () => {
    const again = { branches: [{ field: 'success', operator: 'eq', value: false, target: 't' }] }
    expect(issues([{ ...says('{{steps.t.body}}'), ...again }, step('z')])).toEqual([])
    const compensate = { provider: 'beta', action_type: 'undo', payload_template: '{{steps.z.body}}' }
    expect(issues([step('a', { compensate }), step('z')])).toEqual([])
    const after = { branches: [{ field: 'steps.a.status', operator: 'eq', value: 200, target: 'z' }] }
    expect(issues([step('a', after), step('z')])).toEqual([])
  })
})

describe('where steps lead', () => {
  const signal = (name: string, on_timeout: string) => ({
    name,
    wait_for_signal: { signal: 's', timeout_seconds: 1, on_timeout },
  })
  it.each<Bad>([
    [
      'an unknown then',
      issues(choose({ cel: 'true' }, go('zz', 'a'))),
      ['steps/0/then: chain "c" has no step "zz"; did you mean "z"?'],
    ],
    [
      'an unknown goto',
      issues([step('a', { on_failure: 'goto:zzz' })]),
      ['steps/0/on_failure: chain "c" has no step "zzz"'],
    ],
    [
      'an unknown on_timeout',
      issues([signal('one', 'goto:tow'), step('two')]),
      ['steps/0/wait_for_signal/on_timeout: chain "c" has no step "tow"; did you mean "two"?'],
    ],
    [
      'a step between then and else',
      issues([{ name: 'if', condition: { cel: 'true' }, ...go('b', 'd') }, step('lost'), step('b'), step('d')]),
      ['steps/1: no step leads to "lost"'],
    ],
    [
      'a loop of signals without an exit',
      issues([{ ...signal('a', 'goto:a'), default_next: 'a' }]),
      ['steps/0: a loop without an exit: from "a" the chain never ends'],
    ],
    [
      'a loop of conditions without an exit',
      issues([step('a'), { name: 'if', condition: { cel: 'true' }, ...go('a', 'if') }]),
      ['steps/0: a loop without an exit: from "a", "if" the chain never ends'],
    ],
  ])('%s', (_, found, expected) => expectAll(found, expected))

  it('then, else, goto and on_timeout are ways like others', () => {
    expect(
      issues([
        { name: 'if', condition: { cel: 'true' }, ...go('a', 'b') },
        step('a', { on_failure: 'goto:d' }),
        { ...signal('b', 'goto:e'), default_next: 'z' },
        step('d', { default_next: 'z' }),
        step('e', { default_next: 'z' }),
        step('z'),
      ]),
    ).toEqual([])
    // A poll that a signal ends.
    expect(
      issues([
        signal('wait', 'goto:look'),
        step('done', { default_next: 'end' }),
        step('look', { default_next: 'wait' }),
        step('end'),
      ]),
    ).toEqual([])
  })
})

describe('policies and single steps', () => {
  it.each<Bad>([
    [
      'on_failure of nothing',
      issues([step('a', { on_failure: 'contine' })]),
      ['steps/0/on_failure: on_failure is abort, continue, dead_letter or goto:<step>; did you mean "continue"?'],
    ],
    [
      'two words that differ',
      issues([step('a', { on_failure: 'abort', allow_failure: true })]),
      ['steps/0/allow_failure: allow_failure = true contradicts on_failure = "abort"'],
    ],
    [
      'on_failure beside branches',
      issues([
        step('a', {
          on_failure: 'continue',
          branches: [{ field: 'success', operator: 'eq', value: true, target: 'z' }],
          default_next: 'z',
        }),
        step('z'),
      ]),
      ['steps/0/on_failure: a failure is for branches and default_next to judge: on_failure would never be asked'],
    ],
    [
      'allow_failure beside default_next',
      issues([step('a', { allow_failure: true, default_next: 'z' }), step('z')]),
      ['steps/0/allow_failure: a failure is for default_next to judge: allow_failure would never be asked'],
    ],
    [
      'retries that begin above their most',
      issues([step('a', { retry: { max_attempts: 2, initial_ms: 500, max_ms: 100 } })]),
      ['steps/0/retry/max_ms: max_ms 100 is less than initial_ms 500'],
    ],
    [
      'a key of retry',
      issues([step('a', { retry: { max_attempts: 2, backof: 'fixed' } })]),
      ['steps/0/retry/backof: "backof" is no key of retry; did you mean "backoff"?'],
    ],
    [
      'a cache key without a time',
      issues([step('a', { cache_key: 'k' })]),
      ['steps/0/cache_key: cache_key needs cache_ttl_seconds beside it'],
    ],
    [
      'a cache that could not tell one from another',
      issues([{ name: 's', sub_chain: 'other', cache_ttl_seconds: 5 }, step('a', { cache_ttl_seconds: 5 })], {}, [
        other,
      ]),
      ['steps/0/cache_ttl_seconds: a sub_chain step sends nothing to tell results apart by: it needs a cache_key'],
    ],
    [
      'compensation by nobody',
      issues([
        parallel([
          step('a', {
            compensate: { provider: 'bta', action_type: 'x', retry: { max_attempts: 1, initial_ms: 2, max_ms: 1 } },
          }),
        ]),
      ]),
      [
        'steps/0/parallel/branches/0/compensate/provider: there is no provider "bta"; did you mean "beta"?',
        'steps/0/parallel/branches/0/compensate/retry/max_ms: max_ms 1 is less than initial_ms 2',
      ],
    ],
    [
      'what can never be sent',
      issues([
        step('a', {
          payload_template: [1],
          compensate: { provider: 'beta', action_type: 'x', payload_template: 'undo {{origin.id}}' },
        }),
        step('b', { payload_template: null }),
        step('c', { payload_template: '{{ origin.payload.x }}{{prev.body}}' }),
        step('d', { payload_template: '{{ origin.payload.x }}' }),
        { name: 'e', dispatch: { action_type: 'x', payload: 'text' } },
      ]),
      [
        'steps/0/payload_template',
        'steps/1/payload_template',
        'steps/2/payload_template',
        'steps/4/dispatch/payload',
        'steps/0/compensate/payload_template',
      ].map((at) => `${at}: what is sent is an object: write a table, or one template that gives one`),
    ],
    [
      'a lock on nothing',
      issues([step('a')], { lock_by: 'paylod.x' }),
      [
        'lock_by: lock_by is a path of the origin, such as payload.device_id, metadata.zone or id; did you mean "payload"?',
      ],
    ],
    [
      'a lock on everything',
      issues([step('a')], { lock_by: 'payload' }),
      ['lock_by: lock_by is a path of the origin, such as payload.device_id, metadata.zone or id'],
    ],
    [
      'a lock below text',
      issues([step('a')], { lock_by: 'action_type.x' }),
      ['lock_by: lock_by is a path of the origin, such as payload.device_id, metadata.zone or id'],
    ],
    [
      'attributes of no text',
      issues([step('a')], { attributes: { a: 1 } }),
      ['attributes: must be a table of at most 10 names without a colon, each with a text'],
    ],
    [
      'attributes nobody can search for',
      issues([step('a')], { attributes: { 'a:b': 'x' } }),
      ['attributes: must be a table of at most 10 names without a colon, each with a text'],
    ],
    [
      'a condition that goes elsewhere',
      issues(choose({ cel: 'true' }, { else: 'z', default_next: 'a' })),
      ['steps/0/default_next: a condition step says itself where to go: use then and else'],
    ],
    [
      'a condition that chooses nothing',
      issues(choose({ cel: 'true' }, {})),
      ['steps/0/condition: a condition needs then, else or both: without, it chooses nothing'],
    ],
    [
      'a condition of an unknown root',
      issues(choose({ field: 'orign.payload.x', eq: 1 })),
      [/^steps\/0\/condition\/field: a field begins with one of origin, prev, steps; did you mean "origin"/],
    ],
    [
      'a list of conditions without any',
      issues(choose({ not: { all: [] } })),
      ['steps/0/condition/not/all: "all" is a list of at least one condition'],
    ],
    [
      'a condition that is never true or false',
      issues(choose({ cel: '"a" + "b"' })),
      ['steps/0/condition/cel: "cel" must be true or false, not string'],
    ],
    [
      'an expression that is none',
      issues([{ name: 's', set: { a: { cel: '1 +' } } }]),
      [/^steps\/0\/set\/a\/cel: "cel" is not an expression/],
    ],
    [
      'both ends of a wait',
      issues([{ name: 'w', wait: { seconds: 1, until: '2026-01-01T00:00:00Z' } }]),
      ['steps/0/wait: a wait has seconds or until, one of the two'],
    ],
    [
      'a wait of no number',
      issues([{ name: 'w', wait: { seconds: 'soon' } }]),
      ['steps/0/wait/seconds: seconds is a number from 0 to 31536000, or a template that gives one'],
    ],
    [
      'a wait until some time',
      issues([{ name: 'w', wait: { until: 'tomorrow' } }]),
      [/^steps\/0\/wait\/until: until is a moment like/],
    ],
    [
      'a timeout nobody waits for',
      issues([{ name: 'w', wait_for_signal: { signal: 's', on_timeout: 'continue' } }]),
      ['steps/0/wait_for_signal/on_timeout: on_timeout needs timeout_seconds beside it'],
    ],
    [
      'a dispatch to nobody',
      issues([{ name: 'd', dispatch: { action_type: 'x', provider: 'gamma' } }]),
      [/^steps\/0\/dispatch\/provider: there is no provider "gamma"/],
    ],
  ])('%s', (_, found, expected) => expectAll(found, expected))
})

describe('sub-chains', () => {
  const sub = (name: string, of: string) => ({ name, steps: [{ name: 's', sub_chain: of }] })
  it('a circle is found through groups', () => {
    const inGroup = { name: 'd', steps: [each({ sub_chain: 'c' })] }
    expect(issues([parallel([step('a'), { name: 'b', sub_chain: 'd' }])], {}, [inGroup])).toEqual([
      'steps/0/parallel/branches/1/sub_chain: a chain cannot be its own sub-chain: c → d → c',
      'steps/0/for_each/step/sub_chain: a chain cannot be its own sub-chain: d → c → d',
    ])
  })

  it('they nest to 8 levels', () => {
    const levels = (n: number) => [
      ...Array.from({ length: n }, (_, i) => sub(`l${i}`, `l${i + 1}`)),
      { name: `l${n}`, steps: [step('s')] },
    ]
    expect(parseChainDefinitions(levels(8), names).issues).toEqual([])
    const read = parseChainDefinitions(levels(9), names)
    expect(read.issues).toEqual([
      {
        path: [0, 'steps', 0, 'sub_chain'],
        message: 'sub-chains nest to 8 levels, and from here to 9',
        severity: 'error',
      },
    ])
  })

  it('nor may one be put below those that are as deep as they may be', () => {
    const levels = [
      ...Array.from({ length: 8 }, (_, i) => sub(`l${i}`, `l${i + 1}`)),
      { name: 'l8', steps: [step('s')] },
    ]
    const others = parseChainDefinitions(levels, names).definitions
    const end = { name: 'l9', steps: [step('s')] }
    const l8 = { name: 'l8', steps: [{ name: 's', sub_chain: 'l9' }] }
    const rest = [...others.filter((d) => d.name !== 'l8'), ...parseChainDefinitions([end], names).definitions]
    expect(parseChainDefinitions([l8], { ...names, others: rest }).issues).toEqual([
      {
        path: [0, 'name'],
        message: 'sub-chains nest to 8 levels, and chain "l0" comes to 9 with it',
        severity: 'error',
      },
    ])
  })
})
