import { parseChainDefinitions } from '../../chains/definitions/parse.ts'
import { comparisons } from '../../rules/conditions/index.ts'
import { type Draft, follow, report, showPath } from './draft.ts'
import { providerNames } from './names.ts'

/** Checks `[[chains.definitions]]` as `PUT /v1/chains/definitions` would, and says where in the file. */
export function checkChains(draft: Draft): void {
  const raw = follow(draft.root, ['chains', 'definitions'])
  if (!Array.isArray(raw)) return
  const { issues } = parseChainDefinitions(raw, { providers: providerNames(draft), tests: comparisons })
  for (const { severity, path, message } of issues) {
    const at = ['chains', 'definitions', ...path]
    // A key that is missing has no place of its own, and "is required" alone does not say which.
    const named = severity === 'error' ? `${showPath(draft.root, at)}: ` : ''
    report(draft, severity, at, named + message, 'key')
  }
}
