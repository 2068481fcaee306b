import { type Clock, monotonicClock, type Timer } from '../core/clock.ts'
import type { Env } from '../core/env.ts'

/** How far a clock may be found off before its node is no longer trusted to say what is due, and for whom. */
const JUMP_MS = 500
/** Looks at the start, of which the quickest counts. */
const LOOKS = 5
const AGAIN_MS = 10_000
/** After a jump, and after a look that failed. */
const SOON_MS = 1000

export interface StoreClock extends Clock {
  /** The store's clock less the local one, as last measured. */
  readonly offsetMs: number
  /** Why this node's time cannot be trusted just now; undefined = it can. */
  unsteady(): string | undefined
  /** Measures no more. */
  stop(): void
}
export interface StoreClockOptions {
  /**
   * The store's time in milliseconds, asked of the server itself. A lost answer is a look that failed, to be made again; at the start it
   * is an error.
   */
  readonly ask: () => Promise<number>
  /** Told of every jump: by how much the clock was off. */
  readonly onJump?: (offMs: number) => void
  readonly everyMs?: number
}
interface Look {
  readonly offset: number
  /** The truth is within so much of it. */
  readonly within: number
}

/**
 * The clock of a store that several nodes share: the local one plus the offset to the server's, so that all nodes agree on what is due
 * and whose claim has run out. It never goes back: where the offset shrinks it stands still until time has caught up.
 * `local` should be monotonic (`monotonicClock`): one that follows a change of the machine's time would take the change for the store's.
 */
export async function storeClock(local: Clock, opts: StoreClockOptions): Promise<StoreClock> {
  let best = await look()
  for (let n = 1; n < LOOKS && best.within > 1; n++) {
    const next = await look()
    if (next.within < best.within) best = next
  }
  let { offset } = best
  let told = 0
  let jumped: number | undefined
  let stopped = false
  let timer: Timer

  /** A server's answer is as old as half of the way there and back. */
  async function look(): Promise<Look> {
    const from = local.now()
    const theirs = await opts.ask()
    const to = local.now()
    return { offset: theirs - (from + to) / 2, within: (to - from) / 2 + 1 }
  }
  const reading = (): number => Math.floor(local.now() + offset)

  async function again(): Promise<void> {
    let soon = true
    try {
      const found = await look()
      const off = Math.round(found.offset - offset)
      // A slow answer says little: what it leaves open is no jump, and a better known offset is not given up for it.
      if (Math.abs(off) > JUMP_MS + found.within) {
        jumped = off
        offset = found.offset
        opts.onJump?.(off)
      } else if (found.within <= JUMP_MS) {
        soon = false
        jumped = undefined
        if (found.within <= best.within || Math.abs(off) > found.within) {
          best = found
          offset = found.offset
        }
      }
    } catch {
      // The store is away: whoever uses it is told by their own calls, and the offset stands as it was.
    }
    if (!stopped) timer = local.timer(soon ? SOON_MS : (opts.everyMs ?? AGAIN_MS), () => void again())
  }
  timer = local.timer(opts.everyMs ?? AGAIN_MS, () => void again())

  return {
    now() {
      told = Math.max(told, reading())
      return told
    },
    timer: (ms, fn) => local.timer(ms, fn),
    sleep: (ms, signal) => local.sleep(ms, signal),
    get offsetMs() {
      return offset
    },
    unsteady() {
      if (jumped !== undefined) return `the clock was ${Math.abs(jumped)} ms off the store's`
      const ahead = told - reading()
      return ahead > JUMP_MS ? `the clock is ${ahead} ms ahead of the store's` : undefined
    },
    stop() {
      stopped = true
      timer.cancel()
    },
  }
}

/** The clock of a server's store, over this machine's as it was at the start: what that is set to afterwards is not taken for the server's. */
export function serverClock(
  server: string,
  { clock, log }: Pick<Env, 'clock' | 'log'>,
  ask: (local: Clock) => Promise<number>,
): Promise<StoreClock> {
  const local = { ...clock, now: monotonicClock().now }
  return storeClock(local, {
    ask: () => ask(local),
    onJump: (offMs) => log.warn({ off_ms: offMs }, `this machine's clock has jumped against that of ${server}`),
  })
}
