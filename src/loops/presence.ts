import type { Loop } from './loop.ts'
import type { LoopParts } from './parts.ts'
import { periodic } from './periodic.ts'

/** Says that this node is alive: three times within what it is believed for. */
export const presence = (parts: LoopParts): Loop =>
  periodic({
    name: 'presence',
    everyMs: 10_000,
    batch: 1,
    async tick() {
      await parts.handlers.announce()
      return 0
    },
  })
