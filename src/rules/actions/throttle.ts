import { z } from 'zod'
import { joinParts } from '../../core/ids.ts'
import type { Guard } from '../../core/plan.ts'
import { compileKeys } from '../keys.ts'
import { defineRuleAction } from '../stage.ts'

/** The window is part of the id, `max_count` is not: a changed limit applies to what is stored. */
export const throttle = defineRuleAction({
  type: 'throttle',
  kind: 'passes',
  runs: 'own_limit',
  summary: 'never more than `max_count` in any `window_seconds`, per scope and key; over it `throttled` (429)',
  params: z.strictObject({
    max_count: z.int().min(1).max(1_000_000_000_000),
    window_seconds: z.number().min(0.001).max(31_536_000),
    key: z.array(z.string()).min(1).max(16).optional(),
    message: z.string().min(1).max(500).optional(),
  }),
  compile({ max_count: maxCount, window_seconds, key, message }, c) {
    const windowMs = Math.ceil(window_seconds * 1000)
    const whole: Guard = {
      kind: 'throttle',
      rule: c.rule,
      id: joinParts([c.rule, String(windowMs)]),
      maxCount,
      windowMs,
      ...(message !== undefined && { message }),
    }
    const keys = key && compileKeys(key, ['key'], c)
    return (draft) => {
      draft.guards.push(keys ? { ...whole, id: joinParts([c.rule, String(windowMs), ...keys(draft).parts]) } : whole)
      return undefined
    }
  },
})
