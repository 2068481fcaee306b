import { kinds } from '../core/hold.ts'
import { dueLoop } from './due.ts'
import type { Loop } from './loop.ts'
import type { LoopParts } from './parts.ts'

/** Sends the actions that copy rules added. Due at once: between nudges this finds what another node left. */
export const copies = (parts: LoopParts): Loop =>
  dueLoop(parts, {
    name: 'copies',
    kind: kinds.copy,
    everyMs: 1000,
    batch: 64,
    perScope: 16,
    handle: parts.handlers.release,
    onExhausted: parts.handlers.exhausted,
  })
