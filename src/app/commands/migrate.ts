import { existsSync, mkdirSync } from 'node:fs'
import { dirname } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { systemClock } from '../../core/clock.ts'
import type { Log } from '../../core/env.ts'
import { StateUnavailable } from '../../core/errors.ts'
import { systemRandom } from '../../core/ids.ts'
import type { StateStore } from '../../core/state.ts'
import { openSqlite } from '../../state/sqlite.ts'
import type { Config, StateConfig } from '../config/config.ts'
import { loadConfig } from '../config/load.ts'
import { openStores } from '../stores.ts'
import { type Command, configOptions, requestOf } from './command.ts'
import { printFindings } from './findings.ts'

export const migrate: Command = {
  name: 'migrate',
  about: "create the store or bring it to this version's schema",
  options: configOptions,
  async run(given, terminal) {
    const { config, findings } = loadConfig(requestOf(given, terminal))
    printFindings(findings, terminal.err)
    if (!config) return 1
    try {
      terminal.out(await (isFile(config) ? migrateSqlite(config.state) : migrateShared(config)))
      return 0
    } catch (e) {
      terminal.err(`signalbox migrate: ${openingProblem(config, e)}`)
      return 1
    }
  },
}

/** Opens the store, which makes or upgrades its tables, and closes it again. Says what it did. */
async function migrateSqlite(state: StateConfig): Promise<string> {
  const before = schemaVersion(state.path)
  await (await openFile(state)).close()
  const after = schemaVersion(state.path)
  if (before === after) return `${state.path}: schema ${after}, nothing to do`
  return before === 0 ? `${state.path}: created, schema ${after}` : `${state.path}: schema ${before} is now ${after}`
}

/** State and audit in one SQLite file. */
const isFile = ({ state, audit }: Config): boolean => state.backend === 'sqlite' && audit.backend === 'sqlite'

/** Makes the tables of a store that others share, or brings them to this version; what is there already stays. */
async function migrateShared(config: Config): Promise<string> {
  const stores = await openStores(config, { ...tools(), migrate: true })
  await stores.close()
  return `${stores.where}: has this version's schema`
}
const silent: Log = { debug() {}, info() {}, warn() {}, error() {} }
const tools = () => ({ clock: systemClock(), random: systemRandom(), log: silent })

/** Opens the store as `serve` would, looks at it, and closes it. Throws what the operator must know. */
export async function lookAtStore<T>(config: Config, look: (state: StateStore) => Promise<T>): Promise<T> {
  const state = isFile(config) ? await openFile(config.state) : undefined
  const stores = state ? { state, close: () => state.close() } : await openStores(config, tools())
  try {
    return await look(stores.state)
  } finally {
    await stores.close()
  }
}

async function openFile(state: StateConfig): Promise<StateStore> {
  mkdirSync(dirname(state.path), { recursive: true })
  const opened = await openSqlite({
    path: state.path,
    synchronous: state.synchronous,
    clock: systemClock(),
    random: systemRandom(),
    inThread: true,
  })
  return opened.state
}

export function openingProblem(config: Config, e: unknown): string {
  if (e instanceof StateUnavailable) return e.message
  // What else stops it is the file system or SQLite itself: both say what, not where.
  return `cannot open ${isFile(config) ? config.state.path : 'the store'}: ${e instanceof Error ? e.message : String(e)}`
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
