import type { HandOver } from '../../core/audit.ts'
import { ABORTED, type Clock } from '../../core/clock.ts'
import { StateUnavailable, StateUnknown } from '../../core/errors.ts'
import type { StateStore } from '../../core/state.ts'
import { controls, POLLED } from '../control.ts'
import { refuseUnkept } from '../kept.ts'
import { claims } from './claims.ts'
import { commits } from './commits.ts'
import { spread } from './keys.ts'
import type { Link } from './link.ts'
import { reads } from './reads.ts'
import { scopeLine } from './text.ts'

export interface StoreOptions {
  readonly link: Link
  readonly clock: Clock
  /** The clock tells the server's own time; of one that does not, nothing is compared with the server's. */
  readonly servers: boolean
  readonly newId: () => string
  /** What every key begins with: two gateways on one server that are to know nothing of each other differ in it. */
  readonly prefix: string
  readonly handOver?: HandOver | undefined
}

const SWEEP_EVERY_MS = 1000
/** Expired entries taken away of a tag in one go. */
const BITE = 100

/** The port over a link. Redis keeps no audit: a record waits in the outbox (lua/outbox.ts), written in the same commit. */
export function storeOver({ link, clock, servers, newId, prefix, handOver }: StoreOptions): StateStore {
  const tags = spread(link, clock, servers, prefix)
  const written = commits(tags, handOver)
  const claim = claims(tags)
  const closing = new AbortController()
  let nextSweep = 0

  /** A tag that nobody writes has expired entries too. Claims are made all the time, so their calls see to it, and wait for nothing. */
  async function sweep(): Promise<void> {
    const now = clock.now()
    if (now < nextSweep) return
    nextSweep = now + SWEEP_EVERY_MS
    try {
      const swept = await tags.look('sweep', [String(now), String(BITE)])
      if (swept.some((n) => Number(n) >= BITE)) nextSweep = 0
    } catch (e) {
      // What is wrong is told by the calls that matter; the next sweep is soon.
      if (!(e instanceof StateUnavailable || e instanceof StateUnknown)) throw e
    }
  }

  const state: StateStore = {
    ...reads(tags),
    commit: (scope, ops, opts) =>
      refuseUnkept(ops) ?? written.commit({ scope: scopeLine(scope), ops, dry: opts?.dry === true }),
    claim(kind, opts) {
      void sweep()
      return claim(kind, opts)
    },
    control: (topic) => control(topic),
    async close() {
      closing.abort(ABORTED)
      await written.close()
      link.close()
    },
  }
  const control = controls(state, { clock, newId, closed: closing.signal, shared: POLLED })
  return state
}
