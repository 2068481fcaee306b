import { reapDeadLetters } from '../delivery/dead-letters.ts'
import type { Loop } from './loop.ts'
import type { LoopParts } from './parts.ts'
import { periodic } from './periodic.ts'

const BATCH = 500

/** Removes finished executions, and dead letters, past their configured time. */
export function cleanup({ state, owner, config, handlers }: LoopParts): Loop {
  return periodic({
    name: 'cleanup',
    everyMs: config.cleanupIntervalSeconds * 1000,
    batch: BATCH,
    async tick(signal) {
      const letters = await reapDeadLetters(state, { owner, limit: BATCH })
      return letters + (await handlers.cleanUp(signal))
    },
  })
}
