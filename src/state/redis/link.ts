import { createHash } from 'node:crypto'
import { Cluster, type ClusterOptions, Command, Redis } from 'ioredis'
import { ABORTED, type Clock } from '../../core/clock.ts'
import { StateUnavailable } from '../../core/errors.ts'
import type { Random } from '../../core/ids.ts'
import { failed, isReply, reason, refusalCode } from './failure.ts'
import { type ScriptName, scripts } from './lua/index.ts'
import { type Durability, isCluster, type ServerFacts, unfit } from './server.ts'

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

/** Connects and looks at the server. Rejects with StateUnavailable and one line. */
export async function openLink(opts: LinkOptions): Promise<Link> {
  const { clock, random, durability } = opts
  const url = address(opts.url)
  let started = false
  let closed = false
  let roundTrips = 0
  let trouble: string | undefined = 'the connection to Redis has not been made'
  const backoff = (times: number): number | null =>
    started && !closed
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
  const where = url.host
  const single = new Redis(opts.url, {
    ...settings,
    lazyConnect: true,
    enableOfflineQueue: false,
    retryStrategy: backoff,
  })
  let client: Redis | Cluster = single
  let last: Error | undefined
  single.on('error', (e: Error) => {
    last = e
  })
  const unreached = (e: unknown): StateUnavailable =>
    new StateUnavailable(`cannot use Redis at ${where}: ${reason(refusalCode(e) ? e : (last ?? e))}`, {
      cause: e,
    })

  try {
    await single.connect()
    const facts = await look(single)
    const why = unfit(facts, durability)
    if (why !== undefined) throw new StateUnavailable(`cannot use Redis at ${where}: ${why}`)
    // They are known before the first call, and whoever may not run any is told now.
    await Promise.all(Object.values(scripts).map((text) => single.script('LOAD', text)))
    if (isCluster(facts.info)) {
      client = await clustered(url, settings, backoff)
      single.disconnect()
    }
    if (client.status !== 'ready') throw last ?? new Error('it closes the connection')
  } catch (e) {
    single.disconnect()
    throw e instanceof StateUnavailable ? e : unreached(e)
  }
  started = true
  trouble = undefined

  /** Each new connection may lead to another server than before: a failover, or one that was set up anew. */
  async function examine(): Promise<void> {
    const mine = ++connection
    const found = await look(single).then(
      (facts) => unfit(facts, durability),
      (e: unknown) => reason(e),
    )
    if (mine !== connection) return
    trouble = found && `cannot use Redis at ${where}: ${found}`
    if (trouble === undefined) return
    await clock.sleep(BACKOFF.maxMs, closing.signal)
    if (mine === connection && !closed) anew()
  }
  let connection = 0
  const closing = new AbortController()
  const lost = `the connection to Redis at ${where} is lost`
  const away = (): void => {
    connection++
    trouble = lost
  }
  const anew = (): void => {
    away()
    single.disconnect(true)
  }
  if (client instanceof Redis) {
    client.on('close', away)
    client.on('ready', () => void examine())
  }

  async function send(name: string, args: readonly string[]): Promise<unknown> {
    if (trouble !== undefined) throw new StateUnavailable(trouble)
    if (client.status !== 'ready') throw new StateUnavailable(lost)
    roundTrips++
    try {
      return await client.sendCommand(new Command(name, args as string[], { replyEncoding: 'utf8' }))
    } catch (e) {
      // What answers nothing any more may never do so again, and one that has become a replica is none of ours: a new connection shows.
      const over = !isReply(e) || refusalCode(e) === 'READONLY'
      if (over && client === single && trouble === undefined) anew()
      throw e
    }
  }

  return {
    cluster: client instanceof Cluster,
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
      const [seconds, micros] = client instanceof Cluster ? await client.time() : await single.time()
      return Number(seconds) * 1000 + Number(micros) / 1000
    },
    trouble: () => trouble ?? (client.status === 'ready' ? undefined : lost),
    close() {
      closed = true
      closing.abort(ABORTED)
      client.disconnect()
    },
  }
}

function address(text: string): URL {
  const url = URL.canParse(text) ? new URL(text) : undefined
  if (url === undefined || !['redis:', 'rediss:'].includes(url.protocol) || url.hostname === '')
    throw new StateUnavailable('[state].url is no address of a Redis: redis://[user:password@]host[:port][/database]')
  return url
}

async function look(redis: Redis): Promise<ServerFacts> {
  const [info, config] = await Promise.allSettled([redis.info(), settingsOf(redis)])
  if (info.status === 'rejected') throw info.reason
  if (config.status === 'fulfilled') return { info: info.value, config: config.value }
  if (!isReply(config.reason)) throw config.reason
  return { info: info.value, config: undefined }
}
async function settingsOf(redis: Redis): Promise<ReadonlyMap<string, string>> {
  const found = new Map<string, string>()
  for (const name of ['appendonly', 'appendfsync', 'maxmemory-policy']) {
    const [key, value] = (await redis.config('GET', name)) as string[]
    if (key !== undefined && value !== undefined) found.set(key, value)
  }
  return found
}

async function clustered(
  url: URL,
  settings: Omit<NonNullable<ClusterOptions['redisOptions']>, 'replyMapping'>,
  backoff: (times: number) => number | null,
): Promise<Cluster> {
  const login = {
    ...(url.username && { username: decodeURIComponent(url.username) }),
    ...(url.password && { password: decodeURIComponent(url.password) }),
    ...(url.protocol === 'rediss:' && { tls: {} }),
  }
  const cluster = new Cluster([{ host: url.hostname, port: Number(url.port || 6379) }], {
    redisOptions: { ...settings, ...login },
    lazyConnect: true,
    enableOfflineQueue: false,
    // It would send again what may have been done.
    retryDelayOnFailover: 0,
    retryDelayOnClusterDown: 0,
    maxRedirections: 4,
    clusterRetryStrategy: backoff,
  })
  let last: Error | undefined
  // Each call says why it failed; without a listener the error would be thrown.
  cluster.on('error', (e: Error & { readonly lastNodeError?: Error }) => {
    last = e.lastNodeError ?? e
  })
  await new Promise<void>((resolve, reject) => {
    // Where no node that it names can be reached, nothing more would ever be heard.
    const ended = (): void => reject(last ?? new Error('no node that its cluster names can be reached'))
    cluster.once('end', ended)
    cluster.connect().then(() => {
      cluster.off('end', ended)
      resolve()
    }, reject)
  })
  return cluster
}
