import { z } from 'zod'
import { defineRuleAction } from '../stage.ts'

export const allow = defineRuleAction({
  type: 'allow',
  kind: 'stops',
  runs: 'always',
  summary: 'deliver now; later rules are not asked',
  params: z.strictObject({ fallback_provider: z.string().optional() }),
  compile({ fallback_provider }, c) {
    c.provider(fallback_provider, ['fallback_provider'])
    return ({ action }) => ({
      kind: 'deliver',
      rule: c.rule,
      provider: action.provider ?? c.defaultProvider,
      rerouted: false,
      ...(fallback_provider !== undefined && { fallback: fallback_provider }),
    })
  },
})
