import type { RuleNames } from '../rules/names.ts'
import type { Config } from './config/config.ts'
import { roomOf } from './room.ts'

/** What rules may name under a configuration, beside these chains. */
export function ruleNames(config: Config, chains: readonly string[]): RuleNames {
  const { providers, rules, background: b } = config
  return {
    providers: providers.map((p) => p.name),
    chains,
    ...(rules.defaultProvider !== undefined && { defaultProvider: rules.defaultProvider }),
    mostGroupBytes: roomOf(config).held,
    loops: { groupFlush: b.enabled && b.enableGroupFlush, scheduled: b.enabled && b.enableScheduledActions },
  }
}
