import { z } from 'zod'
import { compileChanges, jsonObject } from '../changes.ts'
import { defineRuleAction } from '../stage.ts'

/** The copy is taken as the action stands here; a later suppress does not take it back. */
export const copy = defineRuleAction({
  type: 'copy',
  kind: 'passes',
  runs: 'always',
  summary: 'send a copy to `target_provider` as an action of its own; no rule is asked for it',
  params: z.strictObject({ target_provider: z.string(), changes: jsonObject.optional() }),
  compile({ target_provider: targetProvider, changes }, c) {
    c.provider(targetProvider, ['target_provider'])
    const change = changes && compileChanges({ changes }, c)
    return (draft) => {
      draft.effects.push({ kind: 'copy', rule: c.rule, targetProvider, action: change ? change(draft) : draft.action })
      return undefined
    }
  },
})
