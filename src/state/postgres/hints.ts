import pg from 'pg'
import type { Clock, Timer } from '../../core/clock.ts'
import type { Log } from '../../core/env.ts'
import { clientConfig } from './connections.ts'
import { say } from './failure.ts'
import { fromPg } from './text.ts'

export interface Hints {
  on(topic: string, ring: () => void): void
  close(): void
}

const [FIRST_WAIT_MS, LONGEST_WAIT_MS] = [250, 30_000]

/**
 * Hears of control changes as they are committed, on a connection of its own that no pooler shares. Only a hint: the poll finds what
 * was not heard, so a connection that ends is made again at leisure, and everybody looks once it stands.
 */
export function listenForHints(url: string, channel: string, { clock, log }: { clock: Clock; log: Log }): Hints {
  const rings = new Map<string, Set<() => void>>()
  let client: pg.Client | undefined
  let timer: Timer | undefined
  let waitMs = FIRST_WAIT_MS
  let closed = false

  const again = (e: unknown): void => {
    client = undefined
    if (closed || timer !== undefined) return
    log.warn({ error: say(e) }, 'PostgreSQL is not listened to; changes of other nodes are looked for')
    timer = clock.timer(waitMs, () => void listen())
    waitMs = Math.min(waitMs * 2, LONGEST_WAIT_MS)
  }
  async function listen(): Promise<void> {
    timer = undefined
    const mine = new pg.Client(clientConfig(url))
    client = mine
    const gone = (e?: Error): void => {
      if (client === mine) again(e ?? new Error('the connection has ended'))
    }
    mine.on('error', gone)
    mine.on('end', () => gone())
    mine.on('notification', ({ payload }) => {
      for (const ring of rings.get(fromPg(payload ?? '')) ?? []) ring()
    })
    try {
      await mine.connect()
      await mine.query(`LISTEN ${channel}`)
      waitMs = FIRST_WAIT_MS
      for (const all of rings.values()) for (const ring of all) ring()
    } catch (e) {
      gone(e instanceof Error ? e : new Error(String(e)))
      mine.end().catch(() => {})
    }
    if (closed) mine.end().catch(() => {})
  }
  void listen()

  return {
    on(topic, ring) {
      const all = rings.get(topic) ?? new Set()
      rings.set(topic, all.add(ring))
    },
    close() {
      closed = true
      timer?.cancel()
      client?.end().catch(() => {})
    },
  }
}
