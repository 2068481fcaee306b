import type { Clock, Timer } from '../core/clock.ts'
import { Gathering } from '../core/passing.ts'
import { RETRY_AFTER_MAX_MS } from '../core/provider.ts'
import type { RateLimit } from './route.ts'

/** A token bucket: `burst` at once, `perSecond` over time; and a block, for a provider that has said when to come back. */
export interface RateLimiter {
  /** A token at once, or false when there is none, others wait, or it is blocked. */
  take(): boolean
  /** True with a token, first come first served; false when the signal aborted first. */
  wait(signal: AbortSignal): Promise<boolean>
  /** No token before `until` (milliseconds), at most RETRY_AFTER_MAX_MS from now. */
  block(until: number): void
  /** When the next token is there for whoever stands first. Milliseconds. */
  nextAt(): number
  readonly blockedUntil: number
  /** A changed limit; undefined: none. Who waits goes on waiting under the new one. */
  configure(limit: RateLimit | undefined): void
  readonly waiting: number
}

/** Sums of fractions come out a hair under a whole token. */
const WHOLE = 1 - 1e-9

export function createRateLimiter(clock: Clock, initial: RateLimit | undefined): RateLimiter {
  let limit = initial
  let tokens = initial?.burst ?? 0
  let filledAt = clock.now()
  let blockedUntil = 0
  let timer: Timer | undefined
  const queue = new Gathering<() => void>()

  function nextAt(): number {
    const now = clock.now()
    if (limit) {
      tokens = Math.min(limit.burst, tokens + ((now - filledAt) * limit.perSecond) / 1000)
      filledAt = now
    }
    const missing = limit && tokens < WHOLE ? Math.ceil(((1 - tokens) * 1000) / limit.perSecond) : 0
    return Math.max(blockedUntil, now + missing)
  }
  function tryTake(): boolean {
    if (nextAt() > clock.now()) return false
    if (limit) tokens -= 1
    return true
  }
  function pump(): void {
    timer?.cancel()
    timer = undefined
    for (const go of queue) {
      if (!tryTake()) {
        timer = clock.timer(nextAt() - clock.now(), pump)
        return
      }
      go()
    }
  }
  return {
    take: () => queue.size === 0 && tryTake(),
    wait(signal) {
      if (signal.aborted) return Promise.resolve(false)
      return new Promise((resolve) => {
        const giveUp = () => {
          leave()
          if (queue.size === 0) pump()
          resolve(false)
        }
        const leave = queue.enter(() => {
          leave()
          signal.removeEventListener('abort', giveUp)
          resolve(true)
        })
        signal.addEventListener('abort', giveUp, { once: true })
        if (queue.size === 1) pump()
      })
    },
    block(until) {
      blockedUntil = Math.max(blockedUntil, Math.min(until, clock.now() + RETRY_AFTER_MAX_MS))
      pump()
    },
    nextAt,
    get blockedUntil() {
      return blockedUntil
    },
    configure(next) {
      nextAt()
      // A limit that comes anew begins full; a changed one keeps what is there.
      tokens = next ? Math.min(limit ? tokens : next.burst, next.burst) : 0
      limit = next
      filledAt = clock.now()
      pump()
    },
    get waiting() {
      return queue.size
    },
  }
}
