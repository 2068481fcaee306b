import { kinds } from '../core/hold.ts'
import { dueLoop } from './due.ts'
import type { Loop } from './loop.ts'
import type { LoopParts } from './parts.ts'

/** Sends sealed groups. */
export const flush = (parts: LoopParts): Loop =>
  dueLoop(parts, {
    name: 'flush',
    kind: kinds.flush,
    everyMs: parts.config.groupFlushIntervalSeconds * 1000,
    batch: 64,
    perScope: 16,
    handle: parts.handlers.flush,
    onExhausted: parts.handlers.exhausted,
  })
