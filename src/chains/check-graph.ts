import { didYouMean } from '../core/nearest.ts'
import type { ChainDefinition, Path, Say } from './definition.ts'

/** Where steps lead: targets that exist, steps that are reached, loops that can be left. */
export function checkGraph(chain: ChainDefinition, at: Path, say: Say): void {
  const index = new Map<string, number>()
  chain.steps.forEach((step, i) => {
    if (index.has(step.name)) say([...at, 'steps', i, 'name'], `there are two steps named "${step.name}"`)
    else index.set(step.name, i)
  })
  const to = (name: string, path: Path): number | undefined => {
    const found = index.get(name)
    if (found === undefined)
      say([...at, ...path], `chain "${chain.name}" has no step "${name}"${didYouMean(name, index.keys())}`)
    return found
  }
  // The end is a node like the others, one past the last step.
  const end = chain.steps.length
  const leads = chain.steps.map((step, i) => {
    const next = step.default_next === undefined ? i + 1 : to(step.default_next, ['steps', i, 'default_next'])
    const targets = (step.branches ?? []).map((b, n) => to(b.target, ['steps', i, 'branches', n, 'target']))
    return [...targets, next]
  })
  // An unknown target has been said; what depends on it cannot be judged.
  if (leads.some((l) => l.includes(undefined))) return
  const known = leads.map((l) => l.filter((n) => n !== undefined))

  const reached = walk(0, (n) => known[n] ?? [])
  const leaves = walk(end, (n) => known.flatMap((l, from) => (l.includes(n) ? [from] : [])))
  const stuck: number[] = []
  chain.steps.forEach((step, i) => {
    if (!reached.has(i)) say([...at, 'steps', i], `no step leads to "${step.name}"`, 'warning')
    else if (!leaves.has(i)) stuck.push(i)
  })
  if (stuck.length > 0) {
    const names = stuck.map((i) => `"${chain.steps[i]!.name}"`).join(', ')
    say([...at, 'steps', stuck[0]!], `a loop without an exit: from ${names} the chain never ends`)
  }
}

function walk(from: number, next: (n: number) => readonly number[]): ReadonlySet<number> {
  const seen = new Set([from])
  for (const n of seen) for (const m of next(n)) seen.add(m)
  return seen
}

/** A chain that is, by way of others, its own sub-chain would never end. */
export function checkSubChains(
  mine: readonly (ChainDefinition | undefined)[],
  known: ReadonlyMap<string, ChainDefinition>,
  say: Say,
): void {
  mine.forEach((chain, i) => {
    chain?.steps.forEach((step, s) => {
      if (!('sub_chain' in step)) return
      const way = wayTo(chain.name, step.sub_chain, known)
      if (way)
        say([i, 'steps', s, 'sub_chain'], `a chain cannot be its own sub-chain: ${[chain.name, ...way].join(' → ')}`)
    })
  })
}

function wayTo(
  goal: string,
  from: string,
  known: ReadonlyMap<string, ChainDefinition>,
  seen = new Set<string>(),
): readonly string[] | undefined {
  if (from === goal) return [goal]
  if (seen.has(from)) return undefined
  seen.add(from)
  for (const step of known.get(from)?.steps ?? []) {
    if (!('sub_chain' in step)) continue
    const rest = wayTo(goal, step.sub_chain, known, seen)
    if (rest) return [from, ...rest]
  }
  return undefined
}

/** The chain and every sub-chain it can reach, itself first; undefined where one is not known. */
export function closure(
  name: string,
  known: (name: string) => ChainDefinition | undefined,
): readonly ChainDefinition[] | undefined {
  const names = new Set([name])
  const out: ChainDefinition[] = []
  for (const n of names) {
    const d = known(n)
    if (!d) return undefined
    out.push(d)
    for (const step of d.steps) if ('sub_chain' in step) names.add(step.sub_chain)
  }
  return out
}
