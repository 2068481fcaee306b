import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import pg from 'pg'
import { startPostgres } from '../../../test/servers/postgres.ts'

export interface PinnedPostgres {
  readonly url: string
  /** Process id of the first of its processes, whose children the others are. */
  readonly postmaster: number
  /** Version and what says how durable it is. */
  readonly settings: string
}

/** The tests' PostgreSQL with its processes on one core, for as long as `use` takes. */
export async function withPostgres<T>(core: number, use: (postgres: PinnedPostgres) => Promise<T>): Promise<T> {
  const { url, folder, stop } = await startPostgres({ core })
  try {
    const postmaster = Number(readFileSync(join(folder, 'data/postmaster.pid'), 'utf8').split('\n')[0])
    return await use({ url, postmaster, settings: await settingsOf(url) })
  } finally {
    await stop()
  }
}

const SETTINGS = ['fsync', 'synchronous_commit', 'full_page_writes', 'wal_sync_method', 'shared_buffers']

async function settingsOf(url: string): Promise<string> {
  const client = new pg.Client(url)
  await client.connect()
  try {
    const asked = ['server_version', ...SETTINGS].map((name) => `current_setting('${name}') AS ${name}`)
    const { rows } = await client.query<{ [name: string]: string }>(`SELECT ${asked.join()}`)
    const { server_version: version, ...others } = rows[0]!
    const told = Object.entries(others).map(([name, value]) => `${name} ${value}`)
    return `PostgreSQL ${version}: ${told.join(', ')}`
  } finally {
    await client.end()
  }
}

/** Processor time of all its processes so far, milliseconds, those that have ended included. */
export function postgresCpuMs(postmaster: number): number {
  const children = readdirSync('/proc').filter((pid) => /^\d+$/.test(pid) && stat(pid)?.[1] === postmaster)
  // proc(5), behind the name: 1 is the parent, 11 and 12 are the time of the process, 13 and 14 that of its children which have ended.
  const own = stat(String(postmaster))
  let ticks = own ? own[11]! + own[12]! + own[13]! + own[14]! : 0
  for (const pid of children) {
    const child = stat(pid)
    if (child) ticks += child[11]! + child[12]!
  }
  return ticks * 10
}

/** Undefined: it has ended meanwhile. */
function stat(pid: string): readonly number[] | undefined {
  try {
    return readFileSync(`/proc/${pid}/stat`, 'utf8')
      .replace(/^.*\) /, '')
      .split(' ')
      .map(Number)
  } catch (e) {
    if ((e as NodeJS.ErrnoException).code === 'ENOENT' || (e as NodeJS.ErrnoException).code === 'ESRCH')
      return undefined
    throw e
  }
}
