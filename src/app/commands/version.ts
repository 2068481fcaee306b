import { readFileSync } from 'node:fs'
import type { Command } from './command.ts'

export const version: Command = {
  name: 'version',
  about: 'print the version',
  options: {},
  async run(_given, terminal) {
    terminal.out(`signalbox ${packageVersion()} (node ${process.version})`)
    return 0
  },
}

export function packageVersion(): string {
  const file = new URL('../../../package.json', import.meta.url)
  const { version: v } = JSON.parse(readFileSync(file, 'utf8')) as { version: string } // our own file
  return v
}
