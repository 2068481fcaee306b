import { z } from 'zod'
import { joinParts, sha256 } from '../../core/ids.ts'
import { compileKeys } from '../keys.ts'
import { defineRuleAction } from '../stage.ts'

const DEFAULT_BYTES = 204_800

export const group = defineRuleAction({
  type: 'group',
  kind: 'holds',
  runs: 'always',
  summary: 'gather actions with equal `group_by` values and send them as one',
  params: z.strictObject({
    group_by: z.array(z.string()).min(1).max(16),
    group_wait_seconds: z.number().min(0).max(31_536_000).default(30),
    group_interval_seconds: z.number().min(0).max(31_536_000).optional(),
    max_group_size: z.int().min(1).max(100_000).default(100),
    max_group_bytes: z.int().min(1024).max(16_777_216).default(DEFAULT_BYTES),
    target_provider: z.string().optional(),
  }),
  compile(p, c) {
    c.provider(p.target_provider, ['target_provider'])
    if (!c.loops.groupFlush)
      c.warn([], '[background] has the group flush switched off: what this rule gathers is only sent by hand')
    if (p.max_group_bytes > c.mostGroupBytes && p.max_group_bytes !== DEFAULT_BYTES)
      c.warn(
        ['max_group_bytes'],
        `max_group_bytes is lowered to ${c.mostGroupBytes}: the state store keeps no larger group`,
      )
    const keys = compileKeys(p.group_by, ['group_by'], c)
    const waitMs = Math.round(p.group_wait_seconds * 1000)
    const fixed = {
      kind: 'group',
      rule: c.rule,
      waitMs,
      intervalMs: p.group_interval_seconds === undefined ? waitMs : Math.round(p.group_interval_seconds * 1000),
      maxSize: p.max_group_size,
      maxBytes: Math.min(p.max_group_bytes, c.mostGroupBytes),
      ...(p.target_provider !== undefined && { targetProvider: p.target_provider }),
    } as const
    return (draft, holder) => {
      const { namespace, tenant } = draft.action
      const { parts, labels, shown } = keys(draft)
      const groupId = sha256(joinParts([namespace, tenant, c.rule, ...parts]))
      return { ...fixed, groupId, groupKey: shown, labels, ...holder() }
    }
  },
})
