import { kinds } from '../core/hold.ts'
import { dueLoop } from './due.ts'
import type { Loop } from './loop.ts'
import type { LoopParts } from './parts.ts'

/** Makes the occurrences of recurring actions. A definition is never given up: it says when it ends. */
export const recurring = (parts: LoopParts): Loop =>
  dueLoop(parts, {
    name: 'recurring',
    kind: kinds.recurring,
    everyMs: parts.config.recurringCheckIntervalSeconds * 1000,
    batch: 100,
    perScope: 25,
    async handle(entry) {
      await parts.handlers.occur(entry)
      parts.nudge('occurrences')
    },
  })
