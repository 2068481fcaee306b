import { didYouMean } from '../../core/nearest.ts'
import { type Draft, follow, isTable, nameOf, report } from './draft.ts'
import type { Path } from './places.ts'

/** Every name the file uses must be one the file defines. */
export function checkNames(draft: Draft): void {
  const defined = Array.isArray(draft.root.providers) ? draft.root.providers.flatMap((p) => nameOf(p) ?? []) : []
  const known = (name: unknown, path: Path, at: 'key' | 'value') => {
    if (typeof name !== 'string' || name === '' || defined.includes(name)) return
    report(draft, 'error', path, `there is no provider named "${name}"${didYouMean(name, defined)}`, at)
  }
  const named: Path[] = [
    ['rules', 'default_provider'],
    ['dead_letters', 'forward_to'],
  ]
  for (const path of named) known(follow(draft.root, path), path, 'value')

  const breakers = follow(draft.root, ['circuit_breaker', 'providers'])
  if (!isTable(breakers)) return
  const fallbacks = new Map<string, string>()
  for (const name of Object.keys(breakers)) {
    const path = ['circuit_breaker', 'providers', name]
    known(name, path, 'key')
    const to = follow(draft.root, [...path, 'fallback_provider'])
    known(to, [...path, 'fallback_provider'], 'value')
    if (typeof to === 'string' && defined.includes(name)) fallbacks.set(name, to)
  }
  for (const cycle of cyclesOf(fallbacks)) {
    const path = ['circuit_breaker', 'providers', cycle[0]!, 'fallback_provider']
    report(draft, 'error', path, `the fallbacks go round: ${[...cycle, cycle[0]].join(' → ')}`, 'value')
  }
}

/** The cycles of a graph in which everything points to at most one other; each once, from the member that comes first. */
function cyclesOf(next: ReadonlyMap<string, string>): string[][] {
  const done = new Set<string>()
  const cycles: string[][] = []
  for (const start of next.keys()) {
    const walk: string[] = []
    let at: string | undefined = start
    while (at !== undefined && !done.has(at)) {
      done.add(at)
      walk.push(at)
      at = next.get(at)
    }
    if (at !== undefined && walk.includes(at)) cycles.push(walk.slice(walk.indexOf(at)))
  }
  return cycles
}
