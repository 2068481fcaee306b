import { existsSync, realpathSync, rmSync, statSync } from 'node:fs'
import { dirname, resolve } from 'node:path'
import { systemClock } from '../../core/clock.ts'
import { StateUnavailable } from '../../core/errors.ts'
import { systemRandom, uuidv7Source } from '../../core/ids.ts'
import { copyStore, giveName } from '../../state/sqlite/copy.ts'
import { inspectStore } from '../../state/sqlite/inspect.ts'
import { loadConfig } from '../config/load.ts'
import { type Command, configOptions, type Given, requestOf, type Terminal } from './command.ts'
import { printFindings } from './findings.ts'
import { holdings } from './inventory.ts'

export const backup: Command = {
  name: 'backup',
  about: 'copy the SQLite store into a file, also while a gateway runs on it',
  operand: { value: 'FILE', about: 'the copy; its folder must be there' },
  options: { ...configOptions, force: { type: 'boolean', about: 'over a file that is there' } },
  async run(given, terminal) {
    const file = fileGiven(given, terminal)
    const path = storePath('backup', given, terminal)
    if (path === undefined) return 1
    const said = (problem: string): number => {
      terminal.err(`signalbox backup: ${problem}`)
      return 1
    }
    const taken = `${file} is there already; --force writes over it`
    const there = statSync(file, { throwIfNoEntry: false })
    if (there?.isDirectory()) return said(`${file} is a folder: name a file in it`)
    // The copy would take the place of a device such as /dev/null.
    if (there?.isFile() === false) return said(`${file} is a device or a pipe: name a file`)
    if (!existsSync(dirname(file))) return said(`there is no folder ${dirname(file)}`)
    // A log beside it would be played into the copy.
    if (existsSync(`${file}-wal`)) return said(`${file} is a database that is in use, or was: take another name`)
    if (there && !given.force) return said(taken)
    if (!existsSync(path)) return said(`there is no store ${path} yet`)
    // What a gateway that starts meanwhile writes to it would be gone.
    if (there && realpathSync(file) === realpathSync(path))
      return said(`${file} is the store itself: take another name`)
    const part = partOf(file)
    try {
      const now = systemClock().now()
      copyStore(path, part)
      const inventory = inspectStore(part, now)
      if (!giveName(part, file, given.force !== undefined)) return said(taken)
      for (const line of holdings(file, inventory)) terminal.out(line)
      return 0
    } catch (e) {
      return said(e instanceof StateUnavailable ? e.message : `cannot copy ${path} to ${file}: ${messageOf(e)}`)
    } finally {
      rmSync(part, { force: true }) // it has its name, or will never have one
    }
  },
}

export const fileGiven = (given: Given, { cwd }: Terminal): string => resolve(cwd, given.FILE![0]!)
export const messageOf = (e: unknown): string => (e instanceof Error ? e.message : String(e))

/** A name beside the file for what is not finished: whoever finds one later may delete it. */
export const partOf = (file: string): string => `${file}.${uuidv7Source(systemClock().now, systemRandom())()}.part`

/** The SQLite file of the configuration. Undefined: it has none, which has been said. */
export function storePath(command: string, given: Given, terminal: Terminal): string | undefined {
  const { config, findings } = loadConfig(requestOf(given, terminal))
  printFindings(findings, terminal.err)
  if (!config) return undefined
  const { backend, path } = config.state
  if (backend === 'sqlite') return path
  terminal.err(`signalbox ${command}: the state is kept by ${backend}, which has tools of its own for this`)
  return undefined
}
