import { sealInto } from '../groups/group.ts'
import { BUFFER } from '../groups/groups.ts'
import { dueLoop } from './due.ts'
import type { Loop } from './loop.ts'
import type { LoopParts } from './parts.ts'

/** Seals open groups whose time has come. `ifDue`: one that was sealed and opened again since the claim keeps its own time. */
export function groupSeal(parts: LoopParts): Loop {
  const { state, config, nudge } = parts
  return dueLoop(parts, {
    name: 'group-seal',
    kind: BUFFER,
    everyMs: config.groupFlushIntervalSeconds * 1000,
    batch: 100,
    perScope: 25,
    async handle({ key }) {
      await state.commit(key.scope, [{ op: 'seal', id: key.id, into: sealInto(key.id), ifDue: true }])
      nudge('flush')
    },
  })
}
