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
    if (old.length === 0) return 0
    const done = await state.commit(
      scope,
      old.map((e) => ({ op: 'delete', kind: kinds.deadLetter, id: e.key.id, ifVersion: e.version, orSkip: true })),
    )
    return done.ok ? done.results.filter((r) => !r.skipped).length : 0
  }
}
