import { kinds } from '../core/hold.ts'
import { dueLoop } from './due.ts'
import type { Loop } from './loop.ts'
import type { LoopParts } from './parts.ts'

/** Dispatches the occurrences of recurring actions. */
export const occurrences = (parts: LoopParts): Loop =>
  dueLoop(parts, {
    name: 'occurrences',
    kind: kinds.occurrence,
    everyMs: 1000,
    batch: 64,
    perScope: 16,
    handle: parts.handlers.release,
    onExhausted: parts.handlers.exhausted,
  })
