import { z } from 'zod'
import { compileChanges, jsonObject, settable } from '../changes.ts'
import { defineRuleAction } from '../stage.ts'

export const modify = defineRuleAction({
  type: 'modify',
  kind: 'passes',
  runs: 'own_limit',
  summary: 'change the action: `changes` is merged into the payload (RFC 7396), `set` gives values to paths',
  params: z.strictObject({
    changes: jsonObject.optional(),
    set: jsonObject.optional().describe(`Paths: ${settable.join(', ')}`),
  }),
  compile({ changes, set }, c) {
    if (!changes && !set) c.error([], 'a modify rule needs "changes" or "set"')
    const change = compileChanges({ changes, set }, c)
    return (draft) => {
      draft.action = change(draft)
      return undefined
    }
  },
})
