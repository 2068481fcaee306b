import { kinds } from '../core/hold.ts'
import { uuidv7Floor } from '../core/ids.ts'
import type { StateStore } from '../core/state.ts'
import type { Purge } from './reaper.ts'

/** Letters are named by UUIDv7: the oldest come first, and the name tells the age. One redriven meanwhile is left alone. */
export function purgeDeadLetters(state: StateStore): Purge {
  return async (scope, before, limit) => {
    const end = uuidv7Floor(before)
    let [looked, gone] = [0, 0]
    let after: string | undefined
    do {
      // A page of large letters is short.
      const page = await state.list(kinds.deadLetter, scope, {
        limit: limit - looked,
        ...(after !== undefined && { after }),
      })
      const old = page.entries.filter((e) => e.key.id < end)
      // Each by itself: not every store takes that many at once, and those made together travel together.
      const done = await Promise.all(
        old.map((e) =>
          state.commit(scope, [{ op: 'delete', kind: kinds.deadLetter, id: e.key.id, ifVersion: e.version }]),
        ),
      )
      looked += page.entries.length
      gone += done.filter((d) => d.ok).length
      after = old.length === page.entries.length ? page.next : undefined
    } while (after !== undefined && looked < limit)
    return gone
  }
}
