import { reapDeadLetters } from '../delivery/dead-letters.ts'
import type { Loop } from './loop.ts'
import type { LoopParts } from './parts.ts'
import { periodic } from './periodic.ts'
import { ONE_SCOPE } from './retention.ts'

/** Dead letters taken at a time. */
const BATCH = 500

/** Removes finished executions, and dead letters, past their configured time. */
export function cleanup({ state, owner, config, handlers }: LoopParts): Loop {
  return periodic({
    name: 'cleanup',
    everyMs: config.cleanupIntervalSeconds * 1000,
    batch: ONE_SCOPE,
    async tick(signal) {
      let letters = 0
      for (let n = BATCH; n === BATCH && letters < ONE_SCOPE && !signal.aborted; letters += n)
        n = await reapDeadLetters(state, { owner, limit: BATCH })
      return letters + (await handlers.cleanUp(signal))
    },
  })
}
