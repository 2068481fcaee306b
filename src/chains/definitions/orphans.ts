import type { ChainDefinition, DefinitionIssue } from '../model/definition.ts'
import { type DefinitionNames, parseChainDefinitions } from './parse.ts'

/**
 * What definitions made through the API lack beside those of the file and the providers of today. They were whole when they were
 * made, and stay in force: their executions wait for what is gone, or are not begun.
 */
export function orphans(
  made: readonly ChainDefinition[],
  file: readonly ChainDefinition[],
  names: Pick<DefinitionNames, 'providers' | 'tests'>,
): readonly DefinitionIssue[] {
  const taken = new Set(file.map((d) => d.name))
  const mine = made.filter((d) => !taken.has(d.name))
  return parseChainDefinitions(mine, { ...names, others: file }).issues.flatMap(({ path, message, severity }) => {
    const [index, , step] = path
    const at = typeof index === 'number' ? mine[index] : undefined
    if (!at || severity !== 'error') return []
    const where = typeof step === 'number' ? `, step "${at.steps[step]?.name ?? step}"` : ''
    return [{ path: [], message: `chain "${at.name}", made through the API${where}: ${message}`, severity: 'warning' }]
  })
}
