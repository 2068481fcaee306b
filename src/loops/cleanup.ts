import type { Loop } from './loop.ts'
import type { LoopParts } from './parts.ts'
import { periodic } from './periodic.ts'

/** Removes finished executions and dead letters past their time. */
export const cleanup = (parts: LoopParts): Loop =>
  periodic({
    name: 'cleanup',
    everyMs: parts.config.cleanupIntervalSeconds * 1000,
    batch: 500,
    tick: parts.handlers.cleanUp,
  })
