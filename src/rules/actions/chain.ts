import { z } from 'zod'
import { defineRuleAction } from '../stage.ts'

/** With `then: continue` the start is a side effect: one event can start several, and a later stop does not take it back. */
export const chain = defineRuleAction({
  type: 'chain',
  kind: 'stops',
  runs: 'always',
  summary: 'start an execution of the chain; with `then: continue` later rules are asked too',
  params: z.strictObject({
    chain: z.string(),
    // biome-ignore lint/suspicious/noThenProperty: the rule files' own word; nobody awaits a schema
    then: z.enum(['stop', 'continue']).default('stop'),
  }),
  compile({ chain: name, then }, c) {
    c.chain(name, ['chain'])
    if (then === 'stop') return () => ({ kind: 'chain', rule: c.rule, chain: name })
    return (draft) => {
      draft.effects.push({ kind: 'chain', rule: c.rule, chain: name, action: draft.action })
      return undefined
    }
  },
})
