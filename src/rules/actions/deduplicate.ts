import { z } from 'zod'
import { joinParts } from '../../core/ids.ts'
import { bounded, compileKeys } from '../keys.ts'
import { type Draft, defineRuleAction } from '../stage.ts'

/**
 * The key is the `key` fields, else `dedup_key`, else `id`, each marked with which it is, so that an id never meets another
 * caller's dedup_key. Fields that are all missing name nothing: then the next kind of key is taken, rather than one key for all.
 */
export const deduplicate = defineRuleAction({
  type: 'deduplicate',
  kind: 'passes',
  runs: 'own_limit',
  summary: 'pass an action once per key and `ttl_seconds`; a repetition is answered `deduplicated`',
  params: z.strictObject({
    ttl_seconds: z.number().positive().max(31_536_000),
    key: z.array(z.string()).min(1).max(16).optional(),
  }),
  compile({ ttl_seconds, key }, c) {
    const keys = key && compileKeys(key, ['key'], c)
    const ttlMs = Math.ceil(ttl_seconds * 1000)
    const guard = (draft: Draft, shown: string, parts: readonly string[]) => {
      draft.guards.push({ kind: 'dedup', rule: c.rule, id: joinParts([c.rule, ...parts]), shown, ttlMs })
      return undefined
    }
    return (draft) => {
      const values = keys?.(draft)
      if (values && !values.missing) return guard(draft, values.shown, ['key', ...values.parts])
      if (values) draft.warnings.push(`rule "${c.rule}": none of its key fields is there`)
      const { dedup_key, id } = draft.action
      if (dedup_key !== undefined)
        return guard(draft, dedup_key, ['dedup_key', bounded(dedup_key, c.rule, 'dedup_key', draft)])
      return guard(draft, id, ['id', bounded(id, c.rule, 'id', draft)])
    }
  },
})
