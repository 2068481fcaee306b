import { REAP_MOST } from '../retention/reaper.ts'
import type { Loop } from './loop.ts'
import type { LoopParts } from './parts.ts'
import { periodic } from './periodic.ts'

/** Removes what retention policies no longer want kept. */
export const retention = (parts: LoopParts): Loop =>
  periodic({
    name: 'retention',
    everyMs: parts.config.retentionCheckIntervalSeconds * 1000,
    batch: REAP_MOST,
    tick: parts.handlers.reap,
  })
