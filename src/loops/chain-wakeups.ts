import type { Loop } from './loop.ts'
import type { LoopParts } from './parts.ts'
import { periodic } from './periodic.ts'

/** What was put down by a node that is gone, or further off than its alarm looks, is found within this. */
const LOOK_MS = 1000

/** Takes over executions whose node died, and ends those whose time is up. A running one advances by itself. */
export const chainWakeups = (parts: LoopParts): Loop =>
  periodic({
    name: 'chain-wakeups',
    everyMs: Math.min(parts.config.timeoutCheckIntervalSeconds * 1000, LOOK_MS),
    batch: 1,
    tick: () => parts.handlers.pullChains(),
  })
