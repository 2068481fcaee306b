import { createHash } from 'node:crypto'
import { Command, Redis } from 'ioredis'
import { ABORTED, type Clock } from '../../core/clock.ts'
import { StateUnavailable } from '../../core/errors.ts'
import type { Random } from '../../core/ids.ts'
import { failed, isReply, reason, refusalCode } from './failure.ts'
import { type ScriptName, scripts } from './lua/index.ts'
import { openNodes, type Servers } from './nodes.ts'
import { type Durability, isCluster, unfit } from './server.ts'
import { learn, look, lost, unusable, type Watched, watch } from './watch.ts'

export interface LinkOptions {
  readonly url: string
  readonly durability: Durability
  readonly clock: Clock
  readonly random: Random
  /** A command that has no answer by then may be done or not. */
  readonly commandTimeoutMs?: number | undefined
}

/** The way to the server. Nothing is kept to be sent later, and nothing is sent twice. */
export interface Link {
  readonly cluster: boolean
  /** A call that has no answer by then is given up. */
  readonly timeoutMs: number
  /** Server and port, as people name it. */
  readonly where: string
  /** Ways there and back so far. */
  readonly roundTrips: number
  /** Rejects with StateUnavailable when it was not sent or the server did nothing, with StateUnknown else. */
  script(name: ScriptName, keys: readonly string[], args: readonly string[]): Promise<unknown>
  mget(keys: readonly string[]): Promise<readonly (string | null)[]>
  /** The server's time, in milliseconds. */
  time(): Promise<number>
  /** Why nothing can be asked of it now; undefined when it can. */
  trouble(): string | undefined
  close(): void
}

const COMMAND_TIMEOUT_MS = 5000
const CONNECT_TIMEOUT_MS = 5000
const BACKOFF = { initialMs: 50, maxMs: 2000 }

const shas = Object.fromEntries(
  Object.entries(scripts).map(([name, text]) => [name, createHash('sha1').update(text).digest('hex')]),
) as { readonly [s in ScriptName]: string }

/** Connects and looks at the server, or at all masters of its cluster. Rejects with StateUnavailable and one line. */
export async function openLink(opts: LinkOptions): Promise<Link> {
  const { clock, random, durability } = opts
  const url = address(opts.url)
  const where = url.host
  const closing = new AbortController()
  const closed = closing.signal
  let started = false
  let roundTrips = 0
  const backoff = (times: number): number | null =>
    started && !closed.aborted
      ? Math.min(BACKOFF.maxMs, BACKOFF.initialMs * 2 ** Math.min(times, 10)) * (0.5 + random.float() / 2)
      : null
  const timeout = opts.commandTimeoutMs ?? COMMAND_TIMEOUT_MS
  const settings = {
    protocol: 2,
    autoResendUnfulfilledCommands: false,
    maxRetriesPerRequest: 0,
    commandTimeout: timeout,
    connectTimeout: Math.min(CONNECT_TIMEOUT_MS, timeout),
    // One that does not answer does not say good-bye either.
    disconnectTimeout: 100,
    disableClientInfo: true,
    connectionName: 'signalbox',
  } as const
  const single = new Redis(opts.url, {
    ...settings,
    lazyConnect: true,
    enableOfflineQueue: false,
    retryStrategy: backoff,
  })
  let last: Error | undefined
  single.on('error', (e: Error) => {
    last = e
  })
  const watching = { durability, clock, closed }

  async function open(): Promise<{ servers: Servers; cluster: boolean }> {
    await single.connect()
    const facts = await look(single)
    if (isCluster(facts.info)) {
      single.disconnect()
      return { servers: await openNodes({ ...watching, url, settings, backoff }), cluster: true }
    }
    const why = unfit(facts, durability)
    if (why !== undefined) throw new StateUnavailable(unusable(where, why))
    await learn(single)
    if (single.status !== 'ready') throw last ?? new Error('it closes the connection')
    return { servers: alone(watch(single, where, watching, { looked: true })), cluster: false }
  }
  const { servers, cluster } = await open().catch((e: unknown) => {
    closing.abort(ABORTED)
    single.disconnect()
    if (e instanceof StateUnavailable) throw e
    throw new StateUnavailable(unusable(where, reason(refusalCode(e) ? e : (last ?? e))), { cause: e })
  })
  started = true

  async function send(name: string, args: readonly string[]): Promise<unknown> {
    for (let moved = false; ; moved = true) {
      const command = new Command(name, args as string[], { replyEncoding: 'utf8' })
      const server = usable(servers.holder(command))
      roundTrips++
      try {
        return await server.redis.sendCommand(command)
      } catch (e) {
        const code = refusalCode(e)
        if (code === 'MOVED' && !moved) {
          await servers.refresh()
          continue
        }
        // What answers nothing any more may never do so again, and one that has become a replica is none of ours: a new connection shows.
        if ((!isReply(e) || code === 'READONLY') && server.trouble === undefined) server.anew()
        throw e
      }
    }
  }
  /** Nothing is sent to one that is not. */
  function usable(server: Watched | undefined): Watched {
    if (server === undefined) throw new StateUnavailable(servers.trouble() ?? lost(where))
    if (server.trouble !== undefined) throw new StateUnavailable(server.trouble)
    return server
  }

  return {
    cluster,
    timeoutMs: timeout,
    where,
    get roundTrips() {
      return roundTrips
    },
    async script(name, keys, args) {
      const given = [String(keys.length), ...keys, ...args]
      try {
        return await send('evalsha', [shas[name], ...given])
      } catch (e) {
        if (refusalCode(e) !== 'NOSCRIPT') throw e instanceof StateUnavailable ? e : failed(e)
      }
      // The server does not know the script yet, or has forgotten it with a restart; now it learns it.
      try {
        return await send('eval', [scripts[name], ...given])
      } catch (e) {
        throw e instanceof StateUnavailable ? e : failed(e)
      }
    },
    async mget(keys) {
      try {
        return (await send('mget', keys)) as (string | null)[]
      } catch (e) {
        throw e instanceof StateUnavailable ? e : failed(e)
      }
    },
    async time() {
      const [seconds, micros] = await usable(servers.timekeeper()).redis.time()
      return Number(seconds) * 1000 + Number(micros) / 1000
    },
    trouble: () => servers.trouble(),
    close() {
      closing.abort(ABORTED)
      servers.close()
    },
  }
}

function address(text: string): URL {
  const url = URL.canParse(text) ? new URL(text) : undefined
  if (url === undefined || !['redis:', 'rediss:'].includes(url.protocol) || url.hostname === '')
    throw new StateUnavailable('[state].url is no address of a Redis: redis://[user:password@]host[:port][/database]')
  return url
}

const alone = (server: Watched): Servers => ({
  holder: () => server,
  timekeeper: () => server,
  trouble: () => server.trouble,
  refresh: async () => {},
  close: () => server.redis.disconnect(),
})
