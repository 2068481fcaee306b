import { didYouMean } from '../../core/nearest.ts'
import { type ChainDefinition, gotoTarget, isGraph, type Path, type Say } from '../model/definition.ts'
import { kindOf } from '../steps/index.ts'
import { type Way, walk, waysOf } from './ways.ts'

/** Where steps lead: targets that exist, steps that are reached, loops that can be left. */
export function checkGraph(chain: ChainDefinition, at: Path, say: Say): void {
  const here: Say = (path, message) => say([...at, ...path], message)
  const index = new Map<string, number>()
  chain.steps.forEach((step, i) => {
    if (index.has(step.name)) here(['steps', i, 'name'], `there are two steps named "${step.name}"`)
    else index.set(step.name, i)
  })
  const graph = isGraph(chain)
  if (graph) checkGraphAlone(chain, here)
  const ways = waysOf(chain)
  let known = true
  for (const { from, to, path, kind } of ways) {
    const name = kind === 'needs' ? from : to
    if (name === undefined || index.has(name)) continue
    known = false
    here(path, `chain "${chain.name}" has no step "${name}"${didYouMean(name, index.keys())}`)
  }
  // An unknown target has been said; what depends on it cannot be judged.
  if (!known || index.size < chain.steps.length) return
  if (graph) checkCircles(chain, ways, here)
  else checkWays(chain, ways, here)
}

function checkWays(chain: ChainDefinition, ways: readonly Way[], say: Say): void {
  const first = chain.steps[0]!.name
  const reached = new Set([
    first,
    ...walk<string | undefined>(first, (n) => ways.filter((w) => w.from === n).map((w) => w.to)),
  ])
  const leaves = walk<string | undefined>(undefined, (n) => ways.filter((w) => w.to === n).map((w) => w.from))
  const stuck: number[] = []
  chain.steps.forEach((step, i) => {
    if (!reached.has(step.name)) say(['steps', i], `no step leads to "${step.name}"`)
    else if (!leaves.has(step.name)) stuck.push(i)
  })
  if (stuck.length === 0) return
  const names = stuck.map((i) => `"${chain.steps[i]!.name}"`).join(', ')
  say(['steps', stuck[0]!], `a loop without an exit: from ${names} the chain never ends`)
}

/** In a graph all that is needed has ended: nothing is chosen, and nothing is gone back to. */
function checkGraphAlone(chain: ChainDefinition, say: Say): void {
  for (const [i, step] of chain.steps.entries()) {
    const refuse = (path: Path, what: string) =>
      say(['steps', i, ...path], `a chain with needs is a graph: ${what} has no place in it`)
    const kind = kindOf(step)
    if (kind.chooses || kind.ends) {
      refuse([kind.key], `${kind.ends ? 'an' : 'a'} ${kind.kind} step`)
      continue
    }
    if (step.branches !== undefined) refuse(['branches'], 'branches')
    if (step.default_next !== undefined) refuse(['default_next'], 'default_next')
    if (gotoTarget(step.on_failure) !== undefined) refuse(['on_failure'], 'goto:')
    for (const t of kind.targets?.(step) ?? []) refuse(t.path, 'goto:')
    const seen = new Set<string>()
    for (const [n, name] of (step.needs ?? []).entries()) {
      if (name === step.name) say(['steps', i, 'needs', n], 'a step cannot need itself')
      else if (seen.has(name)) say(['steps', i, 'needs', n], `"${name}" stands there twice`)
      seen.add(name)
    }
  }
}

function checkCircles(chain: ChainDefinition, ways: readonly Way[], say: Say): void {
  const needs = (name: string | undefined) => ways.filter((w) => w.to === name && w.from !== name).map((w) => w.from)
  const told = new Set<string>()
  chain.steps.forEach((step, i) => {
    if (told.has(step.name) || !walk(step.name, needs).has(step.name)) return
    const circle = shortest(step.name, needs)
    for (const name of circle) told.add(name)
    say(['steps', i, 'needs'], `steps that need each other never begin: ${circle.join(' → ')}`)
  })
}

/** The shortest way from a name back to it, both ends included. */
function shortest(name: string, next: (name: string) => readonly string[]): readonly string[] {
  const ways: (readonly string[])[] = [[name]]
  const seen = new Set<string>()
  for (const way of ways)
    for (const n of next(way.at(-1)!)) {
      if (n === name) return [...way, n]
      if (!seen.has(n)) ways.push([...way, n])
      seen.add(n)
    }
  return []
}
