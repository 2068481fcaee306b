import { existsSync, lstatSync, readlinkSync, realpathSync } from 'node:fs'
import { StateUnavailable } from '../../core/errors.ts'

/**
 * Where a store lies that is named by a link: its lock and its log belong there, under whatever name it is opened, and there it is
 * replaced. By a link among the folders it comes to the same file, and keeps its name. A store that is not there yet is made under its
 * own name; not behind a link, whose volume is rather away.
 */
export function realFile(path: string): string {
  if (!lstatSync(path, { throwIfNoEntry: false })?.isSymbolicLink()) return path
  if (existsSync(path)) return realpathSync(path)
  throw new StateUnavailable(`${path} is a link to ${readlinkSync(path)}, and that is not there`)
}
