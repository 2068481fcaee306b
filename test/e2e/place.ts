import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { onTestFinished } from 'vitest'

/** A folder of its own for one gateway, gone after the test. */
export interface Place {
  readonly folder: string
  path(name: string): string
  /** Writes a file, and the folders above it. */
  write(name: string, text: string): void
}

/** Takes what is to be done in the end: of the test, or, for what tests share, of whoever gathers it. */
export type AtEnd = (undo: () => void | Promise<void>) => void

const FILES: { readonly [name: string]: string } = {
  'gateway.toml': '[[providers]]\nname = "out"\ntype = "log"\n\n[rules]\ndefault_provider = "out"\n',
  'rules/rules.yaml': 'rules: []\n',
}

/** `files` stand over a gateway.toml with one provider `out` that writes to the log, and a rule file without rules. */
export function place(files: { readonly [name: string]: string } = {}, atEnd: AtEnd = onTestFinished): Place {
  const folder = mkdtempSync(join(tmpdir(), 'signalbox-e2e-'))
  atEnd(() => rmSync(folder, { recursive: true, force: true }))
  const path = (name: string): string => join(folder, name)
  const write = (name: string, text: string): void => {
    mkdirSync(dirname(path(name)), { recursive: true })
    writeFileSync(path(name), text)
  }
  for (const [name, text] of Object.entries({ ...FILES, ...files })) write(name, text)
  return { folder, path, write }
}
