import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll } from 'vitest'

/** A folder of the test file's own, gone after it. */
export function folder(): (name: string) => string {
  const dir = mkdtempSync(join(tmpdir(), 'signalbox-test-'))
  afterAll(() => rmSync(dir, { recursive: true, force: true }))
  let n = 0
  return (name) => join(dir, `${++n}-${name}`)
}
