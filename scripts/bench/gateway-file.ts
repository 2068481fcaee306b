import { writeFileSync } from 'node:fs'
import { join } from 'node:path'

/** `[state]` of a gateway whose store is a file beside its own. */
export const sqlite = (synchronous: 'full' | 'normal'): string =>
  `[state]\npath = "data/signalbox.db"\nsynchronous = "${synchronous}"\n`

/** The gateway.toml of a bench: any free port, its store, and rules beside it. `more`: its other sections. Answers the file's path. */
export function gatewayFile(folder: string, store: string, more: string): string {
  const file = join(folder, 'gateway.toml')
  writeFileSync(
    file,
    `[server]
port = 0

${store}
[rules]
directory = "rules"

${more}`,
  )
  return file
}
