import type { Scope } from '../../core/action.ts'
import type { AuditStore } from '../../core/audit.ts'
import type { Env } from '../../core/env.ts'
import { Problem } from '../../core/errors.ts'
import { Follower, MOST_BEHIND } from './follower.ts'
import { farewell, greeting, heartbeat, matches, missedEvent, type StreamFilter } from './shown.ts'
import { TAIL_LIMITS, Tail, type TailLimits } from './tail.ts'

export interface StreamLimits extends TailLimits {
  /** Open at once. */
  readonly most: number
  readonly mostBehind: number
  /** Between two signs of life, milliseconds. */
  readonly heartbeatMs: number
  /** A client that takes nothing for so long is gone, or might as well be, milliseconds. */
  readonly stalledMs: number
  /** How long a client is given to take the farewell, milliseconds. */
  readonly farewellMs: number
}
export const STREAM_LIMITS: StreamLimits = {
  ...TAIL_LIMITS,
  most: 100,
  mostBehind: MOST_BEHIND,
  heartbeatMs: 15_000,
  stalledMs: 60_000,
  farewellMs: 1000,
}

export interface Wanted {
  readonly filter: StreamFilter
  /** The position the client has come to; undefined: from now on. */
  readonly after: string | undefined
  /** Ends the connection, whatever is still on its way. */
  readonly cut: () => void
}

/** The event streams of this node. */
export interface Streams {
  /** How many are open. */
  readonly open: number
  /** Something was recorded here: shown without waiting for the next look at the store. */
  recorded(): void
  /** Whether it is of any use to say so. */
  readonly followed: boolean
  /** Throws Problem 503 `too_many_streams`, and what the store throws. The stream is to be read or cancelled. */
  begin(wanted: Wanted): Promise<ReadableStream<Uint8Array>>
  /** Says farewell to everybody and begins no more. Resolves when nothing is read from the store. */
  close(): Promise<void>
}

export function createStreams(
  audit: Pick<AuditStore, 'follow'>,
  env: Env,
  limits: StreamLimits = STREAM_LIMITS,
): Streams {
  const { clock } = env
  const tail = new Tail(audit, env, limits)
  const enders = new Set<() => void>()
  let closed = false

  /** Where it begins: the position given, or the end of now. A position that is none is told by the first look at it. */
  const place = async (after: string | undefined, scope: Scope | undefined): Promise<string> =>
    after ?? (await tail.follow({ after, ...(scope !== undefined && { scope }) })).next

  function body(follower: Follower, { filter, after, cut }: Wanted): ReadableStream<Uint8Array> {
    let state: 'begun' | 'open' | 'ending' | 'gone' = 'begun'
    let beat = clock.now() + limits.heartbeatMs
    const free = (): void => {
      state = 'gone'
      stalled.cancel()
      enders.delete(end)
      follower.leave()
    }
    const drop = (): void => {
      free()
      cut()
    }
    let stalled = clock.timer(limits.stalledMs, drop)
    const end = (): void => {
      state = 'ending'
      follower.leave()
      clock.timer(limits.farewellMs, drop)
    }
    enders.add(end)

    /** What is next for this client; waits until there is something, or the stream is to end. */
    async function next(): Promise<Uint8Array | undefined> {
      while (state === 'open') {
        const { shown, missed } = await follower.next(beat)
        const told = shown.filter((s) => matches(filter, s.record)).map((s) => s.event)
        if (missed !== undefined) told.unshift(missedEvent(missed))
        if (told.length === 0 && clock.now() >= beat) told.push(heartbeat(follower.position))
        if (told.length > 0) return Buffer.concat(told)
      }
      return undefined
    }
    async function pull(controller: ReadableStreamDefaultController<Uint8Array>): Promise<void> {
      stalled.cancel()
      const first = state === 'begun'
      if (first) state = 'open'
      const text = first ? greeting(after === undefined ? follower.position : undefined) : await next()
      if (state === 'gone') return
      controller.enqueue(text ?? farewell(follower.position))
      if (text === undefined) {
        controller.close()
        return free()
      }
      beat = clock.now() + limits.heartbeatMs
      stalled = clock.timer(limits.stalledMs, drop)
    }
    // Nothing is made before the client has taken what was made before.
    return new ReadableStream<Uint8Array>({ pull, cancel: free }, { highWaterMark: 0 })
  }

  return {
    get open() {
      return enders.size
    },
    get followed() {
      return tail.followed
    },
    recorded: () => tail.recorded(),
    async begin(wanted) {
      const { filter, after } = wanted
      const refuse = (): void => {
        if (closed) throw new Problem(503, 'not_ready', 'this gateway is stopping')
        if (enders.size >= limits.most)
          throw new Problem(
            503,
            'too_many_streams',
            `${limits.most} streams are open on this node, which is the most`,
            {
              retryAfterMs: 5000,
            },
          )
      }
      refuse()
      const position = await place(after, filter.scope)
      refuse()
      return body(new Follower(tail, env, { position, scope: filter.scope }, limits.mostBehind), wanted)
    },
    async close() {
      closed = true
      for (const end of [...enders]) end()
      await tail.stopped()
    },
  }
}
