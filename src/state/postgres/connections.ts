import net from 'node:net'
import pg from 'pg'
import type { Clock, Timer } from '../../core/clock.ts'
import { StateUnavailable } from '../../core/errors.ts'
import type { Random } from '../../core/ids.ts'
import { failure, isCrowded, isLast, isReadOnly, say } from './failure.ts'

/** Runs one statement in a transaction of its own: one round trip. Rejects with StateUnavailable or StateUnknown. */
export type Ask = <Row extends object>(sql: string, values?: readonly unknown[]) => Promise<readonly Row[]>

export interface Connections {
  /** Of what only reads: an answer that was lost has done nothing. */
  readonly read: Ask
  readonly write: Ask
  /** Why the server is not reached just now. */
  trouble(): string | undefined
  close(): Promise<void>
}
export interface ConnectionOptions {
  readonly url: string
  /** Connections at most. */
  readonly most: number
  readonly clock: Clock
  readonly random: Random
}

const CONNECT_MS = 3000
/** Longer than the server waits for a lock, so that who waits for one hears of it. */
export const ANSWER_MS = 5000
const [FIRST_WAIT_MS, LONGEST_WAIT_MS] = [100, 2000]
/** How long a node makes do with the connections it has, where it was told that there is room for no more. */
const CROWDED_MS = 2000
const INT8 = 20

/** These check a certificate as `verify-full` does. Said so, that stays where the driver comes to think less of them, of which it warns. */
const checking = (url: string): string =>
  /[?&]uselibpqcompat=true\b/.test(url)
    ? url
    : url.replace(/([?&]sslmode=)(?:prefer|require|verify-ca)(?=&|$)/, '$1verify-full')

/** What the driver is told. No statement is prepared by name and none sets anything for its session: a pooler may give each another one. */
export const clientConfig = (url: string): pg.ClientConfig => ({
  connectionString: checking(url),
  connectionTimeoutMillis: CONNECT_MS,
  query_timeout: ANSWER_MS,
  keepAlive: true,
  keepAliveInitialDelayMillis: 10_000,
  fallback_application_name: 'signalbox',
  types: {
    getTypeParser: ((oid: number, format?: 'text' | 'binary') =>
      oid === INT8 ? Number : pg.types.getTypeParser(oid, format as 'text')) as typeof pg.types.getTypeParser,
  },
})

interface Connection {
  readonly client: pg.Client
  readonly socket: net.Socket
  dead: boolean
}
interface Waiting {
  readonly resolve: (c: Connection) => void
  readonly reject: (e: Error) => void
}

/**
 * Connections to one server. Where it cannot be reached, or has not answered, callers are refused at once and it is tried again by
 * itself, less and less often: nobody waits for a server that is gone, and one that is back is used without being asked for.
 */
export function openConnections({ url, most, clock, random }: ConnectionOptions): Connections {
  const idle: Connection[] = []
  const all = new Set<Connection>()
  const waiting: Waiting[] = []
  let opening = 0
  let down: { readonly why: string; readonly waitMs: number; readonly timer: Timer } | undefined
  let closed: StateUnavailable | undefined
  let crowdedUntil = 0
  let drained = (): void => {}

  async function connect(): Promise<Connection> {
    const socket = new net.Socket()
    // Before it counts: it may find a certificate's file missing.
    const client = new pg.Client({ ...clientConfig(url), stream: () => socket })
    opening++
    const connection: Connection = { client, socket, dead: false }
    client.on('error', () => drop(connection))
    client.on('end', () => drop(connection))
    try {
      await client.connect()
    } catch (e) {
      socket.destroy()
      throw e
    } finally {
      opening--
    }
    all.add(connection)
    return connection
  }
  function drop(connection: Connection): void {
    connection.dead = true
    all.delete(connection)
    const at = idle.indexOf(connection)
    if (at >= 0) idle.splice(at, 1)
    connection.socket.destroy()
    if (all.size === 0) drained()
  }
  function fall(e: unknown): StateUnavailable {
    const error = new StateUnavailable(`PostgreSQL is not reached: ${say(e)}`, { cause: e })
    for (const w of waiting.splice(0)) w.reject(error)
    if (closed !== undefined) return error
    const waitMs = down === undefined ? FIRST_WAIT_MS : Math.min(down.waitMs * 2, LONGEST_WAIT_MS)
    down?.timer.cancel()
    // Not all nodes at one time.
    const timer = clock.timer(waitMs * (0.5 + random.float() / 2), () => void probe())
    down = { why: error.message, waitMs, timer }
    return error
  }
  async function probe(): Promise<void> {
    let connection: Connection | undefined
    try {
      connection = await connect().catch(standing)
      const { rows } = await connection.client.query<{ transaction_read_only: string }>('SHOW transaction_read_only')
      if (rows[0]?.transaction_read_only === 'on') throw new Error('it takes no writes: it may have become a standby')
    } catch (e) {
      if (connection !== undefined) drop(connection)
      fall(e)
      return
    }
    down = undefined
    release(connection)
  }

  async function acquire(): Promise<Connection> {
    if (closed !== undefined) throw closed
    if (down !== undefined) throw new StateUnavailable(down.why)
    const one = idle.pop()
    if (one !== undefined) return one
    if (all.size + opening < most && (all.size === 0 || clock.now() >= crowdedUntil)) {
      try {
        return await connect().catch(standing)
      } catch (e) {
        if (!isCrowded(e) || all.size === 0) throw fall(e)
      }
    }
    return new Promise((resolve, reject) => waiting.push({ resolve, reject }))
  }
  /** Where there is no room for one more, one of those that stand will do. */
  function standing(e: unknown): Connection {
    if (isCrowded(e)) crowdedUntil = clock.now() + CROWDED_MS
    const one = isCrowded(e) ? idle.pop() : undefined
    if (one === undefined) throw e
    return one
  }
  function release(connection: Connection): void {
    if (connection.dead) makeUp()
    else if (closed !== undefined) end(connection)
    else {
      const next = waiting.shift()
      if (next !== undefined) next.resolve(connection)
      else idle.push(connection)
    }
  }
  /** A connection has died under its user: whoever waits for it gets another one. */
  function makeUp(): void {
    const next = waiting.shift()
    if (next !== undefined) acquire().then(next.resolve, next.reject)
  }
  /** A word to the server if it takes it at once, and nothing is waited for. */
  function end(connection: Connection): void {
    connection.client.end().catch(() => {})
    drop(connection)
  }

  const ask =
    (wrote: boolean): Ask =>
    async <Row extends object>(sql: string, values?: readonly unknown[]) => {
      const connection = await acquire()
      try {
        const { rows } = await connection.client.query<Row>({ text: sql, ...(values && { values: [...values] }) })
        return rows
      } catch (e) {
        if (isReadOnly(e)) {
          // As where an address leads to a standby after a failover: it is looked at anew.
          drop(connection)
          for (const c of idle.splice(0)) end(c)
          fall(e)
        } else if (isLast(e)) {
          // It did not end, it said nothing: nor would it to others.
          const silent = !connection.dead && !connection.socket.destroyed && !connection.socket.readableEnded
          drop(connection)
          if (silent) fall(e)
        }
        throw failure(e, wrote)
      } finally {
        release(connection)
      }
    }

  return {
    read: ask(false),
    write: ask(true),
    trouble: () => down?.why,
    async close() {
      closed ??= new StateUnavailable('the store is closed')
      down?.timer.cancel()
      for (const w of waiting.splice(0)) w.reject(closed)
      for (const c of idle.splice(0)) end(c)
      if (all.size > 0) await new Promise<void>((resolve) => (drained = resolve))
    },
  }
}
