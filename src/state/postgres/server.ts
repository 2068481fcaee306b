import { StateUnavailable } from '../../core/errors.ts'
import type { Ask } from './connections.ts'

export interface Facts {
  readonly version: number
  readonly shown: string
  readonly fsync: string
  readonly synchronous_commit: string
  readonly full_page_writes: string
  readonly standby: boolean
  readonly read_only: string
  readonly encoding: string
}
const OLDEST = 14

/**
 * Refuses a server that may lose what it has answered, or cannot be written. `warn` is told what may be right or not: some file systems and
 * some managed servers keep pages whole by themselves.
 */
export async function checkServer(ask: Ask, warn: (message: string) => void): Promise<void> {
  const [f] =
    await ask<Facts>(`SELECT current_setting('server_version_num')::int AS version, current_setting('server_version') AS shown,
    current_setting('fsync') AS fsync, current_setting('synchronous_commit') AS synchronous_commit,
    current_setting('full_page_writes') AS full_page_writes, pg_is_in_recovery() AS standby,
    current_setting('transaction_read_only') AS read_only, pg_encoding_to_char(encoding) AS encoding
    FROM pg_database WHERE datname = current_database()`)
  if (f === undefined) throw new StateUnavailable('PostgreSQL says nothing of its database')
  const wrong = refusal(f)
  if (wrong !== undefined) throw new StateUnavailable(wrong)
  if (f.full_page_writes === 'off')
    warn(
      'PostgreSQL runs with full_page_writes = off: unless its storage writes whole pages, a crash may damage what was answered',
    )
}

export function refusal(f: Facts): string | undefined {
  if (f.version < OLDEST * 10_000) return `PostgreSQL ${f.shown} is too old: ${OLDEST} or later is needed`
  if (f.standby) return 'this PostgreSQL is a standby, which cannot be written: name the primary'
  if (f.read_only === 'on') return 'transactions of this user are read-only (default_transaction_read_only = on)'
  if (f.fsync === 'off') return 'PostgreSQL runs with fsync = off: what it has answered does not survive a crash'
  if (f.synchronous_commit === 'off')
    return 'PostgreSQL runs with synchronous_commit = off for this user: what it has answered does not survive a crash'
  if (f.encoding !== 'UTF8') return `the database is encoded in ${f.encoding}: UTF8 is needed`
  return undefined
}
