import type { Env } from '../core/env.ts'
import { Gathering } from '../core/passing.ts'
import type { Claimed, StateStore } from '../core/state.ts'
import { backoffMs } from '../delivery/backoff.ts'
import { keepLease, LEASE_MS } from '../delivery/lease.ts'
import type { Loop } from './loop.ts'

/**
 * 1 Count, then try: the claim has counted the attempt before the handler runs.
 * 2 Claim, work, commit with the claim: what the handler writes carries `entry.claim`, and `lost` ends it at once.
 * 3 One bad entry delays only itself: it is put back with a growing wait, and in the end given up, by its own handler.
 */

export interface DueDeps {
  readonly env: Env
  readonly state: StateStore
  /** This process, as the owner of claims. */
  readonly owner: string
  /** An entry whose handler throws is given up after so many attempts. */
  readonly config: { readonly holdMaxAttempts: number }
}
export interface DueWork {
  readonly name: string
  readonly kind: string
  readonly everyMs: number
  /** Claims in one call, and handlers at once. */
  readonly batch: number
  readonly concurrency?: number
  /** At most so many of one scope in one call. */
  readonly perScope?: number
  readonly leaseMs?: number
  /** Ends the entry, or puts it back, with its claim. One that throws is put back. */
  handle(entry: Claimed, lost: AbortSignal): Promise<void>
  /** The entry has thrown `maxAttempts` times: ends it for good, audited. Left out: it is tried for ever. */
  onExhausted?(entry: Claimed, error: unknown): Promise<void>
}

const PUT_BACK = { initialMs: 1_000, maxMs: 300_000 }

/** A loop over the due entries of a kind. Handlers run beside each other; a tick ends when nothing more is due, not when they do. */
export function dueLoop(deps: DueDeps, work: DueWork): Loop {
  const { env, state, owner } = deps
  const { kind, batch, leaseMs = LEASE_MS, concurrency = batch, perScope } = work
  const active = new Gathering<Promise<void>>()

  async function attempt(entry: Claimed): Promise<void> {
    const lease = keepLease({ state, clock: env.clock }, entry.key, entry.claim, leaseMs)
    try {
      await work.handle(entry, lease.lost)
    } catch (error) {
      if (!lease.lost.aborted) await failed(entry, error)
    } finally {
      lease.stop()
    }
  }

  async function failed(entry: Claimed, error: unknown): Promise<void> {
    const about = {
      loop: work.name,
      kind,
      scope: entry.key.scope,
      id: entry.key.id,
      attempts: entry.attempts,
      err: error,
    }
    try {
      if (work.onExhausted && entry.attempts >= deps.config.holdMaxAttempts) {
        env.log.error(about, 'held work failed too often; it is given up')
        return await work.onExhausted(entry, error)
      }
      env.log.error(about, 'held work failed; it is put back')
      await putBack(entry)
    } catch (err) {
      // The store does not answer: the claim runs out, and the entry comes back by itself.
      env.log.error({ ...about, err }, 'held work could not be put back; its claim will run out')
    }
  }

  async function putBack(entry: Claimed): Promise<void> {
    const wait = Math.max(PUT_BACK.initialMs, backoffMs(entry.attempts, PUT_BACK, env.random.float()))
    const dueAt = env.clock.now() + wait
    await state.commit(entry.key.scope, [{ op: 'touch', kind, id: entry.key.id, ifClaim: entry.claim, dueAt }])
  }

  return {
    name: work.name,
    everyMs: work.everyMs,
    batch,
    async tick(signal) {
      let done = 0
      while (!signal.aborted) {
        if (active.size >= concurrency) {
          await Promise.race(active)
          continue
        }
        const limit = Math.min(batch, concurrency - active.size)
        const claimed = await state.claim(kind, { owner, leaseMs, limit, ...(perScope !== undefined && { perScope }) })
        for (const entry of claimed) {
          const one = attempt(entry)
          void one.finally(active.enter(one))
        }
        done += claimed.length
        // Fewer than asked for may be due to perScope: only nothing at all is the end.
        if (claimed.length === 0) break
      }
      return done
    },
    async idle() {
      await Promise.all(active)
    },
  }
}
