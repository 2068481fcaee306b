import type { Dag, DagEdge, DagNode } from './dag.ts'

/** Longer labels are cut: they tell one way from another, the definition says the rest. */
const LONGEST_LABEL = 60

/** How a status looks. Others are shown in words alone. */
const COLOURS: { readonly [status: string]: string } = {
  completed: 'fill:#d7f0d9,stroke:#2e7d32,color:#111',
  failed: 'fill:#f9d6d5,stroke:#c62828,color:#111',
  timed_out: 'fill:#f9d6d5,stroke:#c62828,color:#111',
  running: 'fill:#d6e8fb,stroke:#1565c0,color:#111',
  compensating: 'fill:#d6e8fb,stroke:#1565c0,color:#111',
  waiting: 'fill:#fff3cd,stroke:#b28704,color:#111',
  pending: 'fill:#f5f5f5,stroke:#9e9e9e,color:#111',
  skipped: 'fill:#fff,stroke:#bdbdbd,color:#777,stroke-dasharray:4 3',
  dropped: 'fill:#e0e0e0,stroke:#616161,color:#111',
  compensated: 'fill:#ead9f7,stroke:#6a1b9a,color:#111',
}

/** Opening and closing of a node by its kind; a rectangle where none stands here. */
const SHAPES: { readonly [kind: string]: readonly [string, string] } = {
  condition: ['{', '}'],
  sub_chain: ['[[', ']]'],
  wait: ['([', '])'],
  wait_for_signal: ['([', '])'],
  end: ['(((', ')))'],
  compensation: ['>', ']'],
}

const WORDS: { readonly [kind in DagEdge['kind']]?: string } = {
  on_failure: 'on failure',
  on_timeout: 'on timeout',
  compensate: 'undone by',
}
const DOTTED: ReadonlySet<DagEdge['kind']> = new Set(['on_failure', 'on_timeout', 'compensate'])

/**
 * A Mermaid flowchart. `statuses` by node id colour it. Names and values are written so that nothing in them is read as Mermaid
 * or HTML.
 */
export function mermaidOf(dag: Dag, statuses: ReadonlyMap<string, string> = new Map()): string {
  const numbers = new Map(dag.nodes.map((n, i) => [n.id, `n${i}`]))
  const number = (id: string | null): string => (id === null ? 'finish' : numbers.get(id)!)
  const used = new Map<string, string[]>()
  const lines = ['flowchart TD', '  start(("start"))']

  const draw = (node: DagNode, indent: string): void => {
    const status = statuses.get(node.id)
    const colour = status !== undefined && Object.hasOwn(COLOURS, status) ? status : undefined
    if (colour !== undefined) used.set(colour, [...(used.get(colour) ?? []), number(node.id)])
    const title = titleOf(node, status)
    const inside = dag.nodes.filter((n) => n.group === node.id)
    if (inside.length === 0) {
      const [open, close] = (Object.hasOwn(SHAPES, node.kind) ? SHAPES[node.kind] : undefined) ?? ['[', ']']
      lines.push(`${indent}${number(node.id)}${open}"${title}"${close}`)
      return
    }
    lines.push(`${indent}subgraph ${number(node.id)} ["${title}"]`)
    for (const n of inside) draw(n, `${indent}  `)
    lines.push(`${indent}end`)
  }
  for (const node of dag.nodes) if (node.group === undefined) draw(node, '  ')
  lines.push('  finish(("end"))')
  for (const id of dag.first) lines.push(`  start --> ${number(id)}`)
  const branching = new Set(dag.edges.filter((e) => e.kind === 'branch').map((e) => e.from))
  for (const edge of dag.edges)
    lines.push(`  ${number(edge.from)} ${arrow(edge, branching.has(edge.from))} ${number(edge.to)}`)
  for (const [status, ids] of used)
    lines.push(`  classDef ${status} ${COLOURS[status]!}`, `  class ${ids.join(',')} ${status}`)
  return `${lines.join('\n')}\n`
}

function titleOf({ name, kind, provider, sub_chain, action_type }: DagNode, status: string | undefined): string {
  const what = provider ?? sub_chain ?? (kind === 'dispatch' ? action_type : undefined)
  const about = what === undefined ? kind : `${kind}: ${what}`
  return [name, about, ...(status === undefined ? [] : [status])].map(escaped).join('<br/>')
}

function arrow({ kind, label }: DagEdge, branches: boolean): string {
  const line = DOTTED.has(kind) ? '-.->' : '-->'
  const on = branches && (kind === 'next' || kind === 'default_next') ? 'otherwise' : undefined
  const text = label ?? WORDS[kind] ?? (kind === 'then' || kind === 'else' ? kind : on)
  return text === undefined ? line : `${line}|"${escaped(cut(text))}"|`
}

const cut = (text: string): string => {
  const whole = [...text]
  return whole.length <= LONGEST_LABEL ? text : `${whole.slice(0, LONGEST_LABEL - 1).join('')}…`
}

/** Letters, digits and a few marks stay; all else is an entity code, which Mermaid shows as the character and reads as nothing. */
const escaped = (text: string): string =>
  [...text.toWellFormed()].map((c) => (/[\p{L}\p{M}\p{N} _.,:=/…-]/u.test(c) ? c : `#${c.codePointAt(0)};`)).join('')
