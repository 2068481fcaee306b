import { existsSync, mkdirSync } from 'node:fs'
import { dirname } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { systemClock } from '../../core/clock.ts'
import { StateUnavailable } from '../../core/errors.ts'
import { systemRandom } from '../../core/ids.ts'
import { openSqlite } from '../../state/sqlite.ts'
import type { StateConfig } from '../config/config.ts'
import { loadConfig } from '../config/load.ts'
import { type Command, configOptions, requestOf } from './command.ts'
import { printFindings } from './findings.ts'

export const migrate: Command = {
  name: 'migrate',
  about: "create the store or bring it to this version's schema",
  options: configOptions,
  async run(given, terminal) {
    const { config, findings } = loadConfig(requestOf(given, terminal, true))
    printFindings(findings, terminal.err)
    if (!config) return 1
    try {
      terminal.out(await migrateSqlite(config.state))
      return 0
    } catch (e) {
      terminal.err(`signalbox migrate: ${openingProblem(config.state, e)}`)
      return 1
    }
  },
}

/** Opens the store, which makes or upgrades its tables, and closes it again. Says what it did. */
async function migrateSqlite(state: StateConfig): Promise<string> {
  const before = schemaVersion(state.path)
  await openStore(state)
  const after = schemaVersion(state.path)
  if (before === after) return `${state.path}: schema ${after}, nothing to do`
  return before === 0 ? `${state.path}: created, schema ${after}` : `${state.path}: schema ${before} is now ${after}`
}

/** Opens the store as `serve` would and closes it. Throws what the operator must know. */
export async function openStore(state: StateConfig): Promise<void> {
  mkdirSync(dirname(state.path), { recursive: true })
  const opened = await openSqlite({
    path: state.path,
    synchronous: state.synchronous,
    clock: systemClock(),
    random: systemRandom(),
    inThread: true,
  })
  await opened.state.close()
}

export function openingProblem(state: StateConfig, e: unknown): string {
  if (e instanceof StateUnavailable) return e.message
  // What else stops it is the file system or SQLite itself: both say what, not where.
  return `cannot open ${state.path}: ${e instanceof Error ? e.message : String(e)}`
}

/** 0: there is no database yet, or an empty one. */
function schemaVersion(path: string): number {
  if (!existsSync(path)) return 0
  const db = new DatabaseSync(path, { readOnly: true })
  try {
    return Number(db.prepare('PRAGMA user_version').get()?.user_version)
  } finally {
    db.close()
  }
}
