import { writeFileSync } from 'node:fs'
import { join } from 'node:path'

/** The gateway.toml of a bench: any free port, and a store and rules beside it. `more`: its other sections. Answers the file's path. */
export function gatewayFile(folder: string, synchronous: 'full' | 'normal', more: string): string {
  const file = join(folder, 'gateway.toml')
  writeFileSync(
    file,
    `[server]
port = 0

[state]
path = "data/signalbox.db"
synchronous = "${synchronous}"

[rules]
directory = "rules"

${more}`,
  )
  return file
}
