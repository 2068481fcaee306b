import { isoTime, systemClock } from '../../core/clock.ts'
import { StateUnavailable } from '../../core/errors.ts'
import { type Inventory, inspectStore } from '../../state/sqlite/inspect.ts'
import { realFile } from '../../state/sqlite/real-file.ts'
import { replaceStore } from '../../state/sqlite/replace.ts'
import { fileGiven, messageOf, partOf, storePath } from './backup.ts'
import { type Command, configOptions } from './command.ts'
import { holdings, whatIsDue } from './inventory.ts'

export const restore: Command = {
  name: 'restore',
  about: 'put a backup in the place of the SQLite store, which is kept under another name',
  operand: { value: 'FILE', about: 'the backup' },
  options: {
    ...configOptions,
    check: { type: 'boolean', about: 'change nothing: say whether the backup is sound, what it holds and what is due' },
  },
  async run(given, terminal) {
    const file = fileGiven(given, terminal)
    const now = systemClock().now()
    const tell = (inventory: Inventory): void => {
      for (const line of [...holdings(file, inventory), ...whatIsDue(inventory, now)]) terminal.out(line)
    }
    try {
      if (given.check) {
        tell(inspectStore(file, now))
        return 0
      }
      const named = storePath('restore', given, terminal)
      if (named === undefined) return 1
      const path = realFile(named)
      const aside = `${path}.before-${isoTime(now).replaceAll(/[-:]/g, '')}`
      const { inventory, kept, damage } = replaceStore({ path, from: file, part: partOf(path), aside, now })
      tell(inventory)
      if (damage !== undefined) terminal.err(`the store of before cannot be read: ${damage}`)
      terminal.out(`${path} is now this backup${kept ? `; the store of before is ${aside}` : ''}`)
      return 0
    } catch (e) {
      terminal.err(
        `signalbox restore: ${e instanceof StateUnavailable ? e.message : `cannot restore ${file}: ${messageOf(e)}`}`,
      )
      return 1
    }
  },
}
