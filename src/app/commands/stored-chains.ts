import { parseChainDefinitions } from '../../chains/definitions/parse.ts'
import { storedDefinitions } from '../../chains/definitions/stored.ts'
import type { ChainDefinition } from '../../chains/model/definition.ts'
import type { Finding } from '../../core/errors.ts'
import type { StateStore } from '../../core/state.ts'
import { comparisons } from '../../rules/conditions/index.ts'
import type { Config } from '../config/config.ts'

/** The chains that were defined through the API. */
export async function storedChains(state: StateStore): Promise<readonly ChainDefinition[]> {
  return storedDefinitions(await state.control('chains')).map((stored) => stored.definition)
}

/** What a start would say of the file's chains beside those: by themselves they are in order, or there were no configuration. */
export function checkBeside(config: Config, others: readonly ChainDefinition[]): readonly Finding[] {
  const { issues } = parseChainDefinitions(config.chains.definitions, {
    providers: config.providers.map((p) => p.name),
    tests: comparisons,
    others,
  })
  return issues.flatMap(({ path, message, severity }) =>
    severity === 'error'
      ? [{ file: `chains.definitions.${path.join('.')}`, line: 0, column: 0, severity, message }]
      : [],
  )
}
