import { parseChainDefinitions } from '../../chains/definitions/parse.ts'
import { comparisons } from '../../rules/conditions/index.ts'
import { type Draft, follow, report } from './draft.ts'
import { providerNames } from './names.ts'

/** Checks `[[chains.definitions]]` as `PUT /v1/chains/definitions` would, and says where in the file. */
export function checkChains(draft: Draft): void {
  const raw = follow(draft.root, ['chains', 'definitions'])
  if (!Array.isArray(raw)) return
  const { issues } = parseChainDefinitions(raw, { providers: providerNames(draft), tests: comparisons })
  for (const { severity, path, message } of issues)
    report(draft, severity, ['chains', 'definitions', ...path], message, 'key')
}
