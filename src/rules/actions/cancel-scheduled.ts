import { z } from 'zod'
import { joinParts } from '../../core/ids.ts'
import { compileScheduleKey } from '../keys.ts'
import { defineRuleAction } from '../stage.ts'

export const cancelScheduled = defineRuleAction({
  type: 'cancel_scheduled',
  kind: 'passes',
  runs: 'own_limit',
  summary: 'end what a schedule rule holds under the same key, because what it waited for has happened',
  params: z.strictObject({ key: z.union([z.string().min(1), z.array(z.string()).min(1).max(16)]) }),
  compile({ key }, c) {
    const read = compileScheduleKey(key, c)
    return (draft) => {
      const parts = read(draft)
      if (parts) draft.effects.push({ kind: 'cancel_scheduled', rule: c.rule, id: joinParts(parts) })
      return undefined
    }
  },
})
