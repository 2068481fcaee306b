import type { Redis } from 'ioredis'
import type { Clock } from '../../core/clock.ts'
import { isReply, reason } from './failure.ts'
import { scripts } from './lua/index.ts'
import { type Durability, type ServerFacts, unfit } from './server.ts'

/** A way to one server, and whether it may be asked. */
export interface Watched {
  readonly redis: Redis
  /** Why nothing may be asked of it now; undefined when it may, and then what is sent is written at once. */
  readonly trouble: string | undefined
  /** What was found at the first look, or why there was none; undefined: it is fit. */
  readonly first: Promise<string | undefined>
  /** Gives the connection up: what answers nothing any more may never do so again. */
  anew(): void
}
export interface Watching {
  readonly durability: Durability
  readonly clock: Clock
  readonly closed: AbortSignal
}

/** How long one that is unfit is left alone. */
const AGAIN_MS = 2000

export const unusable = (where: string, why: string): string => `cannot use Redis at ${where}: ${why}`
export const lost = (where: string): string => `the connection to Redis at ${where} is lost`

/**
 * Looks at the server each time it is connected to: it may be another than before, after a failover, or one that was set up anew. Of a
 * connection that stands, `looked` says that this has been done. `found` is told of each that is fit.
 */
export function watch(
  redis: Redis,
  where: string,
  { durability, clock, closed }: Watching,
  { looked, found }: { readonly looked?: true; readonly found?: () => void },
): Watched {
  const gone = lost(where)
  const first = Promise.withResolvers<string | undefined>()
  let trouble = looked ? undefined : `the connection to Redis at ${where} has not been made`
  let connection = 0
  let last: Error | undefined

  async function examine(): Promise<void> {
    const mine = ++connection
    const why = await look(redis).then((facts) => unfit(facts, durability), reason)
    if (mine !== connection) return
    trouble = why && unusable(where, why)
    first.resolve(trouble)
    if (trouble === undefined) {
      found?.()
      return
    }
    await clock.sleep(AGAIN_MS, closed)
    if (mine === connection && !closed.aborted) anew()
  }
  const away = (): void => {
    connection++
    trouble = gone
    first.resolve(unusable(where, last ? reason(last) : 'it closes the connection'))
  }
  const anew = (): void => {
    away()
    redis.disconnect(true)
  }
  redis.on('error', (e: Error) => {
    last = e
  })
  redis.on('close', away)
  redis.on('ready', () => void examine())
  if (!looked && redis.status === 'ready') void examine()

  return {
    redis,
    get trouble() {
      return trouble ?? (redis.status === 'ready' && redis.stream.writable ? undefined : gone)
    },
    first: first.promise,
    anew,
  }
}

/** Scripts are known before the first call, and whoever may not run any is told now. */
export const learn = (redis: Redis): Promise<unknown> =>
  Promise.all(Object.values(scripts).map((text) => redis.script('LOAD', text)))

export async function look(redis: Redis): Promise<ServerFacts> {
  const [info, config] = await Promise.allSettled([redis.info(), settingsOf(redis)])
  if (info.status === 'rejected') throw info.reason
  if (config.status === 'fulfilled') return { info: info.value, config: config.value }
  if (!isReply(config.reason)) throw config.reason
  return { info: info.value, config: undefined }
}
async function settingsOf(redis: Redis): Promise<ReadonlyMap<string, string>> {
  const found = new Map<string, string>()
  for (const name of ['appendonly', 'appendfsync', 'no-appendfsync-on-rewrite', 'maxmemory-policy']) {
    const [key, value] = (await redis.config('GET', name)) as string[]
    if (key !== undefined && value !== undefined) found.set(key, value)
  }
  return found
}
