import { type ChainDefinition, innerSteps, type Path, type Say, type StepDefinition } from '../model/definition.ts'

/** Levels of sub-chains below an execution. */
export const MAX_DEPTH = 8

interface Use {
  readonly name: string
  readonly path: Path
}
/** The chains a step runs, itself or by a step inside it, with where it says so. */
export const usesOf = (step: StepDefinition, path: Path): readonly Use[] =>
  'sub_chain' in step
    ? [{ name: step.sub_chain, path: [...path, 'sub_chain'] }]
    : innerSteps(step).flatMap((inner) => usesOf(inner.step, [...path, ...inner.path]))

/** The sub-chains of a chain, with where they stand in it. */
export const subChainsOf = (chain: ChainDefinition): readonly Use[] =>
  chain.steps.flatMap((step, i) => usesOf(step, ['steps', i]))

type Known = ReadonlyMap<string, ChainDefinition>

/** A chain that is, by way of others, its own sub-chain would never end; one too deep is one nobody follows any more. */
export function checkSubChains(mine: readonly (ChainDefinition | undefined)[], known: Known, say: Say): void {
  const below = depths(known)
  const names = new Set(mine.map((c) => c?.name))
  mine.forEach((chain, i) => {
    if (!chain) return
    for (const use of subChainsOf(chain)) {
      const at = [i, ...use.path]
      const circle = wayTo(chain.name, use.name, known)
      if (circle) say(at, `a chain cannot be its own sub-chain: ${[chain.name, ...circle].join(' → ')}`)
      else if (1 + below(use.name) > MAX_DEPTH)
        say(at, `sub-chains nest to ${MAX_DEPTH} levels, and from here to ${1 + below(use.name)}`)
    }
    // Those that have it as a sub-chain become deeper with it.
    for (const user of known.values())
      if (!names.has(user.name) && below(user.name) > MAX_DEPTH && wayTo(chain.name, user.name, known))
        say(
          [i, 'name'],
          `sub-chains nest to ${MAX_DEPTH} levels, and chain "${user.name}" comes to ${below(user.name)} with it`,
        )
  })
}

function wayTo(goal: string, from: string, known: Known, seen = new Set<string>()): readonly string[] | undefined {
  if (from === goal) return [goal]
  if (seen.has(from)) return undefined
  seen.add(from)
  const chain = known.get(from)
  for (const { name } of chain ? subChainsOf(chain) : []) {
    const rest = wayTo(goal, name, known, seen)
    if (rest) return [from, ...rest]
  }
  return undefined
}

/** Levels of sub-chains below a chain. A circle, which is refused anyway, is gone round once. */
function depths(known: Known): (name: string) => number {
  const found = new Map<string, number>()
  const depth = (name: string): number => {
    const before = found.get(name)
    if (before !== undefined) return before
    found.set(name, 0)
    const chain = known.get(name)
    const levels = Math.max(0, ...(chain ? subChainsOf(chain) : []).map((use) => 1 + depth(use.name)))
    found.set(name, levels)
    return levels
  }
  return depth
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
    for (const use of subChainsOf(d)) names.add(use.name)
  }
  return out
}
