import { kinds } from '../core/hold.ts'
import { dueLoop } from './due.ts'
import type { Loop } from './loop.ts'
import type { LoopParts } from './parts.ts'

/** Releases scheduled actions. */
export const scheduled = (parts: LoopParts): Loop =>
  dueLoop(parts, {
    name: 'scheduled',
    kind: kinds.scheduled,
    everyMs: parts.config.scheduledCheckIntervalSeconds * 1000,
    batch: 64,
    perScope: 16,
    handle: parts.handlers.release,
    onExhausted: parts.handlers.exhausted,
  })
