import { didYouMean } from '../../core/nearest.ts'
import { type Draft, follow, nameOf, report } from './draft.ts'
import type { Path } from './places.ts'

/** The names of the `[[providers]]` tables, of those with a fault as well: they are still the ones that are meant. */
export function providerNames(draft: Draft): readonly string[] {
  const tables = follow(draft.root, ['providers'])
  return Array.isArray(tables) ? tables.flatMap((p) => nameOf(p) ?? []) : []
}

/** Whether a provider named at this path is one the file defines; a finding if it is not. */
export function checkProvider(draft: Draft, path: Path, name: string, at: 'key' | 'value'): boolean {
  const defined = providerNames(draft)
  if (name === '' || defined.includes(name)) return true
  report(draft, 'error', path, `there is no provider named "${name}"${didYouMean(name, defined)}`, at)
  return false
}

/** Providers that other sections name. */
export function checkNames(draft: Draft): void {
  const named: readonly Path[] = [
    ['rules', 'default_provider'],
    ['dead_letters', 'forward_to'],
  ]
  for (const path of named) {
    const name = follow(draft.root, path)
    if (typeof name === 'string') checkProvider(draft, path, name, 'value')
  }
}
