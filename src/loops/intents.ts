import { kinds } from '../core/hold.ts'
import { dueLoop } from './due.ts'
import type { Loop } from './loop.ts'
import type { LoopParts } from './parts.ts'

/** Takes over deliveries whose node died, and those that were handed back or put back. */
export const intents = (parts: LoopParts): Loop =>
  dueLoop(parts, {
    name: 'intents',
    kind: kinds.intent,
    everyMs: 1000,
    batch: 64,
    perScope: 16,
    handle: parts.handlers.resumeIntent,
    onExhausted: parts.handlers.exhausted,
  })
