import type { Loop } from './loop.ts'
import type { LoopParts } from './parts.ts'
import { periodic } from './periodic.ts'

/** Removes what retention policies no longer want kept. */
export const retention = (parts: LoopParts): Loop =>
  periodic({
    name: 'retention',
    everyMs: parts.config.retentionCheckIntervalSeconds * 1000,
    batch: 500,
    tick: parts.handlers.reap,
  })
