/** What is demanded of a server before it is given anything to keep. */
export type Durability = 'always' | 'everysec' | 'none' | 'managed'

/** What it says of itself. `config`: undefined where it tells no settings. */
export interface ServerFacts {
  readonly info: string
  readonly config: ReadonlyMap<string, string> | undefined
}

const field = (info: string, name: string): string | undefined => new RegExp(`^${name}:(.*?)\\r?$`, 'm').exec(info)?.[1]

export const isCluster = (info: string): boolean => field(info, 'cluster_enabled') === '1'

/** One line for what makes it unfit, undefined when it is fit. */
export function unfit({ info, config }: ServerFacts, durability: Durability): string | undefined {
  const version = field(info, 'redis_version') ?? '0'
  const [major = 0, minor = 0] = version.split('.').map(Number)
  if (major < 6 || (major === 6 && minor < 2)) return `version ${version} is too old: 6.2 or later is needed`
  if (field(info, 'role') === 'slave') return 'it is a replica: name its primary'
  const policy = config?.get('maxmemory-policy') ?? field(info, 'maxmemory_policy')
  if (policy !== undefined && policy !== 'noeviction')
    return `the maxmemory-policy of Redis is ${policy}, which would delete held actions: set it to noeviction`
  return undurable(config, durability)
}

function undurable(config: ServerFacts['config'], wanted: Durability): string | undefined {
  if (config === undefined) {
    if (wanted === 'managed') return undefined
    return 'it does not tell how durable it is (CONFIG is refused): set [state].durability to "managed" if its operator answers for it'
  }
  if (wanted === 'managed') return undefined
  const has = keeps(config)
  if (has === wanted && wanted === 'always' && config.get('no-appendfsync-on-rewrite') === 'yes')
    return '[state].durability is "always", but this Redis keeps less while it rewrites its file (no-appendfsync-on-rewrite yes)'
  return has === wanted
    ? undefined
    : `[state].durability is "${wanted}", but this Redis keeps "${has}" (${settingsOf(config)})`
}
function keeps(config: ReadonlyMap<string, string>): Durability {
  const sync = config.get('appendfsync')
  if (config.get('appendonly') !== 'yes' || (sync !== 'always' && sync !== 'everysec')) return 'none'
  return sync
}
const settingsOf = (config: ReadonlyMap<string, string>): string =>
  `appendonly ${config.get('appendonly')}, appendfsync ${config.get('appendfsync')}`
