import { z } from 'zod'
import type { End } from '../../core/plan.ts'
import { defineRuleAction } from '../stage.ts'

export const deny = defineRuleAction({
  type: 'deny',
  kind: 'stops',
  runs: 'never',
  summary: 'refuse the action; the caller is told `denied` (403)',
  params: z.strictObject({ reason: z.string().min(1).max(500).optional() }),
  compile({ reason }, { rule }) {
    const end: End = { kind: 'deny', rule, ...(reason !== undefined && { reason }) }
    return () => end
  },
})
