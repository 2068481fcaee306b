import { type ChainDefinition, gotoTarget, isGraph, type Path, type StepDefinition } from '../model/definition.ts'
import { kindOf } from '../steps/index.ts'

/** One way an execution may take from a step. Of a graph: from what is needed to what needs it. */
export interface Way {
  readonly from: string
  /** Undefined: the end. */
  readonly to: string | undefined
  readonly kind: WayKind
  /** What has to hold, where the kind does not say it. */
  readonly label?: string
  /** Where its author wrote it, from the chain on; the step itself where nobody did. */
  readonly path: Path
}
export type WayKind =
  | 'next'
  | 'branch'
  | 'default_next'
  | 'then'
  | 'else'
  | 'on_failure'
  | 'on_timeout'
  | 'needs'
  | 'end'

/** Every way there is, in the order they are asked. Targets may be unknown: a check says so. */
export const waysOf = (chain: ChainDefinition): readonly Way[] => (isGraph(chain) ? needed(chain) : led(chain))

function led(chain: ChainDefinition): readonly Way[] {
  return chain.steps.flatMap((step, i) => {
    const next = step.default_next ?? chain.steps[i + 1]?.name
    return leads(step, next).map((w) => ({ ...w, from: step.name, path: ['steps', i, ...w.path] }))
  })
}

function leads(step: StepDefinition, next: string | undefined): readonly Omit<Way, 'from'>[] {
  const kind = kindOf(step)
  if (kind.ends) return [{ to: undefined, kind: 'end', label: kind.ends(step), path: [] }]
  const own = kind.targets?.(step) ?? []
  const failure = gotoTarget(step.on_failure)
  const written = step.default_next !== undefined
  return [
    ...(step.branches ?? []).map((b, n) => ({
      to: b.target,
      kind: 'branch' as const,
      label: [b.field, b.operator, ...(b.value === undefined ? [] : [JSON.stringify(b.value)])].join(' '),
      path: ['branches', n, 'target'],
    })),
    ...own.map((t) => ({ to: t.target ?? next, kind: t.kind, path: t.target === undefined ? [] : t.path })),
    ...(failure === undefined ? [] : [{ to: failure, kind: 'on_failure' as const, path: ['on_failure'] }]),
    ...(kind.chooses
      ? []
      : [
          {
            to: next,
            kind: written ? ('default_next' as const) : ('next' as const),
            path: written ? ['default_next'] : [],
          },
        ]),
  ]
}

function needed(chain: ChainDefinition): readonly Way[] {
  const wanted = new Set(chain.steps.flatMap((s) => s.needs ?? []))
  return chain.steps.flatMap((step, i): readonly Way[] => [
    ...(step.needs ?? []).map((from, n) => ({
      from,
      to: step.name,
      kind: 'needs' as const,
      path: ['steps', i, 'needs', n],
    })),
    ...(wanted.has(step.name) ? [] : [{ from: step.name, to: undefined, kind: 'next' as const, path: ['steps', i] }]),
  ])
}

/** Of each step, those that may have ended when it is entered: from each of them some way leads to it. */
export function precedingSteps(ways: readonly Way[]): (step: string) => ReadonlySet<string> {
  const before = Map.groupBy(ways, (w) => w.to)
  return (step) => walk(step, (name) => (before.get(name) ?? []).map((w) => w.from))
}

/** What is reached in at least one step. */
export function walk<N>(from: N, next: (n: N) => readonly N[]): ReadonlySet<N> {
  const seen = new Set(next(from))
  for (const n of seen) for (const m of next(n)) seen.add(m)
  return seen
}
