import { Cluster, type ClusterOptions, type Command } from 'ioredis'
import { StateUnavailable } from '../../core/errors.ts'
import { learn, lost, type Watched, type Watching, watch } from './watch.ts'

/** Who is asked: one server, or the masters of a cluster. */
export interface Servers {
  /** Who has the keys of a command; undefined while nobody is known to. */
  holder(command: Command): Watched | undefined
  /** Whose clock is the store's: the same one for all who ask. */
  timekeeper(): Watched | undefined
  trouble(): string | undefined
  /** Asks anew who has what. */
  refresh(): Promise<void>
  close(): void
}
export interface NodesOptions extends Watching {
  readonly url: URL
  readonly settings: Omit<NonNullable<ClusterOptions['redisOptions']>, 'replyMapping'> & {
    readonly commandTimeout: number
  }
  /** How long it waits before it tries again, after so many times; null: never. */
  readonly backoff: (times: number) => number | null
}

/**
 * The masters of a cluster. The library is asked who has which slot, and keeps a connection to each; commands are given to that one directly, since
 * the library would send them to nodes that nobody has looked at, and to the new holder of a slot on its way there (ASK), which does
 * not have all of it yet: a script would take for absent what has not come over.
 */
export async function openNodes(opts: NodesOptions): Promise<Servers> {
  const { url, backoff, clock, closed } = opts
  const cluster = clusterOf(opts)
  const masters = new Map<string, Watched>()
  /** Those that have slots. */
  let owners = new Set<string>()
  let tries = 0
  let mending = false

  function attend(): void {
    // Until it is, the library itself asks one of them whether it may be used, and is refused by one that is being connected to.
    if (cluster.status !== 'ready') return
    const now = new Map(cluster.nodes('master').map((redis) => [`${redis.options.host}:${redis.options.port}`, redis]))
    // One that is a replica now is looked at again when it is a master again.
    for (const [name, { redis }] of masters) if (now.get(name) !== redis) masters.delete(name)
    for (const [name, redis] of now) {
      if (masters.has(name)) continue
      const found = (): void => {
        tries = 0
      }
      masters.set(name, watch(redis, name, opts, { found }))
      // At once, as what is sent to one that is not connected yet would be refused. Why it fails is told by its events.
      if (redis.status === 'wait') redis.connect().catch(() => {})
    }
    owners = new Set(cluster.slots.flatMap((holders) => holders[0] ?? []))
  }
  cluster.on('refresh', attend)
  cluster.on('ready', attend)
  cluster.on('-node', (redis) => {
    for (const [name, master] of masters) if (master.redis === redis) masters.delete(name)
    void mend()
  })

  const lacking = (): boolean => [...owners].some((name) => !masters.has(name))
  /** A node whose connection has ended is connected to again, or to the one that has its slots now. */
  async function mend(): Promise<void> {
    if (mending) return
    mending = true
    while (lacking()) {
      const ms = backoff(tries++)
      if (ms === null) break
      await clock.sleep(ms, closed)
      if (lacking() && cluster.status === 'ready') await refresh()
    }
    mending = false
  }
  async function refresh(): Promise<void> {
    const failed = await new Promise((done) => cluster.refreshSlotsCache(done))
    // None of the nodes it knows answers: it begins again with the address it was given.
    if (failed && cluster.status === 'ready' && cluster.nodes().length > 0) cluster.disconnect(true)
  }

  try {
    await connected(cluster)
    attend()
    const all = [...masters.values()]
    const why = (await Promise.all(all.map((m) => m.first))).find((found) => found !== undefined)
    if (why !== undefined) throw new StateUnavailable(why)
    await Promise.all(all.map((m) => learn(m.redis)))
  } catch (e) {
    cluster.disconnect()
    throw e
  }
  const away = lost(url.host)
  return {
    holder: (command) => masters.get(cluster.slots[command.getSlot()]?.[0] ?? ''),
    timekeeper: () => masters.get(cluster.slots[0]?.[0] ?? ''),
    trouble() {
      if (cluster.status !== 'ready') return away
      for (const name of owners) {
        const master = masters.get(name)
        if (master === undefined) return lost(name)
        if (master.trouble !== undefined) return master.trouble
      }
      return undefined
    },
    refresh,
    close: () => cluster.disconnect(),
  }
}

function clusterOf({ url, settings, backoff }: NodesOptions): Cluster {
  const login = {
    ...(url.username && { username: decodeURIComponent(url.username) }),
    ...(url.password && { password: decodeURIComponent(url.password) }),
    ...(url.protocol === 'rediss:' && { tls: {} }),
  }
  return new Cluster([{ host: url.hostname, port: Number(url.port || 6379) }], {
    redisOptions: { ...settings, ...login },
    lazyConnect: true,
    enableOfflineQueue: false,
    // Each name is looked up when it is connected to: with an address instead, no certificate for the name would be right.
    dnsLookup: (name, done) => done(null, name),
    slotsRefreshTimeout: settings.commandTimeout,
    clusterRetryStrategy: backoff,
  })
}
async function connected(cluster: Cluster): Promise<void> {
  let last: Error | undefined
  // Each call says why it failed; without a listener the error would be thrown.
  cluster.on('error', (e: Error & { readonly lastNodeError?: Error }) => {
    last = e.lastNodeError ?? e
  })
  // Those that the cluster names, as whose certificate is for other names.
  cluster.on('node error', (e: Error) => {
    last ??= e
  })
  await new Promise<void>((resolve, reject) => {
    // Where the nodes that it names cannot be reached, nothing more would ever be heard.
    const ended = (e?: Error): void =>
      reject(last ?? e ?? new Error('the nodes that its cluster names cannot be reached'))
    cluster.once('end', ended)
    cluster.connect().then(() => {
      cluster.off('end', ended)
      resolve()
    }, ended)
  })
}
