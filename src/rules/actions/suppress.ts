import { z } from 'zod'
import type { End } from '../../core/plan.ts'
import { defineRuleAction } from '../stage.ts'

export const suppress = defineRuleAction({
  type: 'suppress',
  kind: 'stops',
  runs: 'never',
  summary: 'drop the action; the caller is told `suppressed`',
  params: z.strictObject({ reason: z.string().min(1).max(500).optional() }),
  compile({ reason }, { rule }) {
    const end: End = { kind: 'suppress', rule, ...(reason !== undefined && { reason }) }
    return () => end
  },
})
