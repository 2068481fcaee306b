import { kinds } from '../../src/core/hold.ts'
import { LEASE_MS } from '../../src/delivery/lease.ts'
import { sealInto } from '../../src/groups/group.ts'
import { BUFFER } from '../../src/groups/groups.ts'
import type { House } from '../fakes/house.ts'

/** Kinds of entries whose work ends here, in the order of one turn. */
export const DUE = [kinds.intent, kinds.copy, BUFFER, kinds.flush, kinds.scheduled] as const

/** One turn of the loops that dispatch feeds, without the loops' own waiting: answers how much was due. */
export async function work(house: House): Promise<number> {
  const { handlers, state, node } = house
  const { signal } = new AbortController()
  let done = 0
  for (const kind of DUE) {
    const claimed = await state.claim(kind, { owner: node, leaseMs: LEASE_MS, limit: 10 })
    done += claimed.length
    for (const entry of claimed) {
      const { key } = entry
      if (kind === BUFFER) {
        await state.commit(key.scope, [{ op: 'seal', id: key.id, into: sealInto(key.id), ifDue: true }])
      } else if (kind === kinds.intent) await handlers.resumeIntent(entry, signal)
      else if (kind === kinds.flush) await handlers.flush(entry, signal)
      else await handlers.release(entry, signal)
    }
  }
  return done
}
