import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { parseChainDefinitions } from '../../src/chains/definitions/parse.ts'
import type { ChainDefinition } from '../../src/chains/model/definition.ts'
import { dagOf, shownDag } from '../../src/chains/views/dag.ts'
import { mermaidOf } from '../../src/chains/views/mermaid.ts'
import { compileRedact } from '../../src/core/redact.ts'
import { comparisons } from '../../src/rules/conditions/index.ts'

const step = (name: string, more: object = {}) => ({ name, provider: 'p', action_type: 'x', ...more })
function read(steps: readonly object[], more: object = {}): ChainDefinition {
  const names = { providers: ['p', 'q'], tests: comparisons }
  const other = { name: 'other', steps: [step('s')] }
  const { definitions, issues } = parseChainDefinitions([{ name: 'c', steps, ...more }, other], names)
  expect(issues).toEqual([])
  return definitions[0]!
}
/** The condition's keys, for a linter that takes `then` for a promise's. */
const go = (yes: string, no: string) =>
  Object.fromEntries([
    ['then', yes],
    ['else', no],
  ])

const order = read([
  step('look', { branches: [{ field: 'body.n', operator: 'gt', value: 3, target: 'both' }], default_next: 'ask' }),
  { name: 'ask', wait_for_signal: { signal: 'ok', timeout_seconds: 9, on_timeout: 'goto:sorry' } },
  {
    name: 'both',
    parallel: {
      branches: [
        step('pay', { compensate: { provider: 'q', action_type: 'refund' } }),
        { name: 'sub', sub_chain: 'other' },
      ],
    },
    on_failure: 'goto:sorry',
  },
  { name: 'each', for_each: { items: '{{origin.payload.list}}', step: { set: { a: 1 } } } },
  { name: 'if', condition: { cel: 'true' }, ...go('tell', 'sorry') },
  { name: 'tell', dispatch: { action_type: 'told' }, default_next: 'sorry' },
  step('sorry'),
])

describe('the graph of a definition', () => {
  it('has steps, groups with what is inside them, and what undoes them', () => {
    const { name, graph, first, nodes } = dagOf(order)
    expect({ name, graph, first }).toEqual({ name: 'c', graph: false, first: ['look'] })
    expect(nodes).toEqual([
      { id: 'look', name: 'look', kind: 'provider', provider: 'p', action_type: 'x' },
      { id: 'ask', name: 'ask', kind: 'wait_for_signal' },
      { id: 'both', name: 'both', kind: 'parallel' },
      { id: 'both.pay', name: 'pay', kind: 'provider', group: 'both', provider: 'p', action_type: 'x' },
      { id: 'undo both.pay', name: 'pay', kind: 'compensation', provider: 'q', action_type: 'refund' },
      { id: 'both.sub', name: 'sub', kind: 'sub_chain', group: 'both', sub_chain: 'other' },
      { id: 'each', name: 'each', kind: 'for_each' },
      { id: 'each.*', name: 'each', kind: 'set', group: 'each' },
      { id: 'if', name: 'if', kind: 'condition' },
      { id: 'tell', name: 'tell', kind: 'dispatch', action_type: 'told' },
      { id: 'sorry', name: 'sorry', kind: 'provider', provider: 'p', action_type: 'x' },
    ])
  })

  it('has every way with its kind and what has to hold', () => {
    const edges = dagOf(order).edges.map((e) => [e.from, e.kind, e.to, e.label].filter((x) => x !== undefined))
    expect(edges).toEqual([
      ['look', 'branch', 'both', 'body.n gt 3'],
      ['look', 'default_next', 'ask'],
      ['ask', 'on_timeout', 'sorry'],
      ['ask', 'next', 'both'],
      ['both', 'on_failure', 'sorry'],
      ['both', 'next', 'each'],
      ['each', 'next', 'if'],
      ['if', 'then', 'tell'],
      ['if', 'else', 'sorry'],
      ['tell', 'default_next', 'sorry'],
      ['sorry', 'next', null],
      ['both.pay', 'compensate', 'undo both.pay'],
    ])
  })

  it('of a chain with needs goes from what is needed to what needs it, and from there to the end', () => {
    const dag = dagOf(read([step('d', { needs: ['b', 'a'] }), step('a'), step('b', { needs: ['a'] }), step('alone')]))
    expect([dag.graph, dag.first]).toEqual([true, ['a', 'alone']])
    expect(dag.edges.map((e) => `${e.from} ${e.kind} ${e.to}`)).toEqual([
      'b needs d',
      'a needs d',
      'd next null',
      'a needs b',
      'alone next null',
    ])
  })
})

it('what is to be hidden is hidden, and the graph holds together', () => {
  const redact = compileRedact({
    enabled: true,
    fields: ['provider', 'id', 'from', 'label'],
    placeholder: '[REDACTED]',
  })
  const dag = shownDag(dagOf(order), redact)
  expect(dag.nodes[0]).toEqual({ id: 'look', name: 'look', kind: 'provider', provider: '[REDACTED]', action_type: 'x' })
  expect(dag.edges[0]).toEqual({ from: 'look', to: 'both', kind: 'branch', label: '[REDACTED]' })
  expect(mermaidOf(dag)).not.toContain('undefined')
})

describe('as Mermaid text', () => {
  it('is a flowchart of it, coloured by statuses', () => {
    const statuses = new Map([
      ['look', 'completed'],
      ['both.pay', 'completed'],
      ['undo both.pay', 'running'],
      ['ask', 'skipped'],
      ['tell', 'odd'],
    ])
    expect(mermaidOf(dagOf(order), statuses)).toBe(`flowchart TD
  start(("start"))
  n0["look<br/>provider: p<br/>completed"]
  n1(["ask<br/>wait_for_signal<br/>skipped"])
  subgraph n2 ["both<br/>parallel"]
    n3["pay<br/>provider: p<br/>completed"]
    n5[["sub<br/>sub_chain: other"]]
  end
  n4>"pay<br/>compensation: q<br/>running"]
  subgraph n6 ["each<br/>for_each"]
    n7["each<br/>set"]
  end
  n8{"if<br/>condition"}
  n9["tell<br/>dispatch: told<br/>odd"]
  n10["sorry<br/>provider: p"]
  finish(("end"))
  start --> n0
  n0 -->|"body.n gt 3"| n2
  n0 -->|"otherwise"| n1
  n1 -.->|"on timeout"| n10
  n1 --> n2
  n2 -.->|"on failure"| n10
  n2 --> n6
  n6 --> n8
  n8 -->|"then"| n9
  n8 -->|"else"| n10
  n9 --> n10
  n10 --> finish
  n3 -.->|"undone by"| n4
  classDef completed fill:#d7f0d9,stroke:#2e7d32,color:#111
  class n0,n3 completed
  classDef skipped fill:#fff,stroke:#bdbdbd,color:#777,stroke-dasharray:4 3
  class n1 skipped
  classDef running fill:#d6e8fb,stroke:#1565c0,color:#111
  class n4 running
`)
  })

  const QUOTED = '"[^"\\n]*"'
  const LINE = new RegExp(
    [
      '^flowchart TD$',
      `^ +(n\\d+|start|finish)(\\[|\\[\\[|\\{|\\(\\[|\\(\\(|>)${QUOTED}(\\]|\\]\\]|\\}|\\]\\)|\\)\\))$`,
      `^ +subgraph n\\d+ \\[${QUOTED}\\]$`,
      '^ +end$',
      `^  (n\\d+|start) (-->|-\\.->)(\\|${QUOTED}\\|)? (n\\d+|finish)$`,
      '^  classDef \\w+ [\\w:#,\\- ]+$',
      '^  class n\\d+(,n\\d+)* \\w+$',
    ].join('|'),
  )
  const safe = /^[\p{L}\p{M}\p{N} _.,:=/…-]*$/u
  const codes = (text: string) => text.replace(/#(\d+);/g, (_, n: string) => String.fromCodePoint(Number(n)))

  it('nothing that users write breaks out of its quotes, and all of it can be read', () => {
    const any = fc.oneof(
      fc.string({ unit: 'binary', minLength: 1, maxLength: 30 }),
      fc.constantFrom(
        '"]; click n0 "javascript:alert(1)"',
        '<img onerror=x>',
        '`a`',
        '%%{init: {}}%%',
        '#quot;',
        '\nend',
        '&lt;',
      ),
    )
    fc.assert(
      fc.property(any, any, any, any, (a, b, value, status) => {
        const text = mermaidOf(
          dagOf({
            name: 'c',
            steps: [
              { name: a, provider: b, action_type: b, branches: [{ field: 'body', operator: 'eq', value, target: a }] },
              { name: `${a}2`, parallel: { branches: [{ name: b, sub_chain: a }] } },
            ],
          }),
          new Map([[a, status]]),
        )
        const lines = text.trimEnd().split('\n')
        for (const line of lines) expect(line).toMatch(LINE)
        const labels = lines.flatMap((l) => [...l.matchAll(/"([^"]*)"/g)].map((m) => m[1]!))
        for (const l of labels) for (const part of l.split('<br/>')) expect(part.replace(/#\d+;/g, '')).toMatch(safe)
        expect(labels.map(codes)).toContain([a, `provider: ${b}`, status].map((t) => t.toWellFormed()).join('<br/>'))
      }),
    )
  })

  it('long conditions are cut, between characters', () => {
    const value = '😀'.repeat(100)
    const chain = read([step('a', { branches: [{ field: 'body', operator: 'eq', value, target: 'b' }] }), step('b')])
    const line = mermaidOf(dagOf(chain))
      .split('\n')
      .find((l) => l.includes('body'))!
    expect(codes(/\|"(.*)"\|/.exec(line)![1]!)).toBe(`body eq "${'😀'.repeat(50)}…`)
  })
})
