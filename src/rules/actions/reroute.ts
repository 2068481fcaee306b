import { z } from 'zod'
import type { End } from '../../core/plan.ts'
import { defineRuleAction } from '../stage.ts'

export const reroute = defineRuleAction({
  type: 'reroute',
  kind: 'stops',
  runs: 'always',
  summary: 'deliver to `target_provider` instead; later rules are not asked',
  params: z.strictObject({ target_provider: z.string(), fallback_provider: z.string().optional() }),
  compile({ target_provider: provider, fallback_provider: fallback }, c) {
    c.provider(provider, ['target_provider'])
    c.provider(fallback, ['fallback_provider'])
    if (fallback === provider) c.error(['fallback_provider'], `"fallback_provider" is the target itself`)
    const end: End = {
      kind: 'deliver',
      rule: c.rule,
      provider,
      rerouted: true,
      ...(fallback !== undefined && { fallback }),
    }
    return () => end
  },
})
