import { setImmediate } from 'node:timers/promises'
import { didYouMean } from '../core/nearest.ts'
import { backup } from './commands/backup.ts'
import { check } from './commands/check.ts'
import { type Command, readOptions, type Terminal, usageOf } from './commands/command.ts'
import { migrate } from './commands/migrate.ts'
import { restore } from './commands/restore.ts'
import { serve } from './commands/serve.ts'
import { version } from './commands/version.ts'

export const commands: readonly Command[] = [serve, check, migrate, backup, restore, version]

const HELP = ['help', '--help', '-h']
const VERSION = ['--version', '-v']
/** The command line itself is wrong. */
const MISUSED = 2

const terminal: Terminal = {
  out: (line) => void process.stdout.write(`${line}\n`),
  err: (line) => void process.stderr.write(`${line}\n`),
  cwd: process.cwd(),
  env: process.env,
}

/** @param args the words after the program's name. Resolves to the exit code. */
export async function main(args: readonly string[], to?: Terminal): Promise<number> {
  if (to) return run(args, to)
  const unprinted = mindOutput()
  const code = await run(args, terminal)
  await setImmediate() // until then what was written last may fail
  return code === 0 && args[0] !== serve.name && unprinted() ? 1 : code
}

/**
 * What is printed is for people: where it cannot be, a gateway goes on. Answers whether something that somebody waits for was not
 * printed, as on a full disk; a reader that has gone (`| head`) waits for nothing more.
 */
function mindOutput(): () => boolean {
  let lost = false
  process.stdout.on('error', (e: NodeJS.ErrnoException) => {
    if (e.code === 'EPIPE') return
    if (!lost) terminal.err(`signalbox: cannot write to the standard output: ${e.message}`)
    lost = true
  })
  process.stderr.on('error', () => {
    lost = true // and there is nobody to tell
  })
  return () => lost
}

async function run(args: readonly string[], to: Terminal): Promise<number> {
  const [first, ...rest] = args
  if (first !== undefined && HELP.includes(first)) {
    to.out(helpText())
    return 0
  }
  if (first === undefined) {
    to.err(helpText())
    return MISUSED
  }
  const command = VERSION.includes(first) ? version : commands.find((c) => c.name === first)
  if (!command) {
    const known = commands.map((c) => c.name)
    to.err(
      `signalbox: unknown command "${first}"${didYouMean(first, known) || `; expected one of ${known.join(', ')}`}`,
    )
    return MISUSED
  }
  if (rest.some((word) => HELP.includes(word) && word !== 'help')) {
    to.out(usageOf(command))
    return 0
  }
  const given = readOptions(rest, command)
  if (typeof given === 'string') {
    to.err(`signalbox ${command.name}: ${given}`)
    return MISUSED
  }
  return command.run(given, to)
}

function helpText(): string {
  return [
    'Signalbox dispatches actions by rules.',
    ...commands.map(usageOf),
    'Variables SIGNALBOX__SECTION__KEY override the file, --set overrides both.',
  ].join('\n\n')
}
