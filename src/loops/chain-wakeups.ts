import type { Loop } from './loop.ts'
import type { LoopParts } from './parts.ts'
import { periodic } from './periodic.ts'

/** Takes over executions whose node died, and ends those whose time is up. A running one advances by itself. */
export const chainWakeups = (parts: LoopParts): Loop =>
  periodic({
    name: 'chain-wakeups',
    everyMs: parts.config.timeoutCheckIntervalSeconds * 1000,
    batch: 1,
    tick: () => parts.handlers.pullChains(),
  })
