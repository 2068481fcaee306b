import type { Loop } from './loop.ts'
import type { LoopParts } from './parts.ts'
import { periodic } from './periodic.ts'

/** What a round takes of one scope at most: where less is gone, none has more. */
export const ONE_SCOPE = 10_000

/** Removes what retention policies no longer want kept. */
export const retention = (parts: LoopParts): Loop =>
  periodic({
    name: 'retention',
    everyMs: parts.config.retentionCheckIntervalSeconds * 1000,
    batch: ONE_SCOPE,
    tick: parts.handlers.reap,
  })
