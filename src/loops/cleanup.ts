import { reapDeadLetters } from '../delivery/dead-letters.ts'
import { REAP_MOST, REAP_ROWS } from '../retention/reaper.ts'
import type { Loop } from './loop.ts'
import type { LoopParts } from './parts.ts'
import { periodic } from './periodic.ts'

/** Removes finished executions, and dead letters, past their configured time. */
export function cleanup({ state, owner, config, handlers }: LoopParts): Loop {
  return periodic({
    name: 'cleanup',
    everyMs: config.cleanupIntervalSeconds * 1000,
    batch: REAP_MOST,
    async tick(signal) {
      let letters = 0
      while (!signal.aborted && letters < REAP_MOST) {
        const n = await reapDeadLetters(state, { owner, limit: REAP_ROWS })
        letters += n
        if (n < REAP_ROWS) break
      }
      return letters + (await handlers.cleanUp(signal))
    },
  })
}
