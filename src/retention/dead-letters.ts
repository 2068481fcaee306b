import { kinds } from '../core/hold.ts'
import { uuidv7Floor } from '../core/ids.ts'
import type { StateStore } from '../core/state.ts'
import type { Purge } from './reaper.ts'

/** Letters are named by UUIDv7: the oldest come first, and the name tells the age. One redriven meanwhile is left alone. */
export function purgeDeadLetters(state: StateStore): Purge {
  return async (scope, before, limit) => {
    const { entries } = await state.list(kinds.deadLetter, scope, { limit })
    const end = uuidv7Floor(before)
    const old = entries.filter((e) => e.key.id < end)
    // Each by itself: not every store takes that many at once, and those made together travel together.
    const done = await Promise.all(
      old.map((e) =>
        state.commit(scope, [{ op: 'delete', kind: kinds.deadLetter, id: e.key.id, ifVersion: e.version }]),
      ),
    )
    return done.filter((d) => d.ok).length
  }
}
