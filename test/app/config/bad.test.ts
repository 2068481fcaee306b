import { readdirSync, readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { describe, expect, test } from 'vitest'
import { loadConfig } from '../../../src/app/config/load.ts'
import { showFinding } from '../../../src/core/errors.ts'

const directory = fileURLToPath(new URL('../../fixtures/config/bad', import.meta.url))
const files = readdirSync(directory).filter((f) => f.endsWith('.toml'))

/** Each file ends with everything that must be said of it, in order, as `#! line:column: severity: message`. */
describe('every bad configuration', () => {
  test('there are some', () => expect(files.length).toBeGreaterThan(15))

  test.each(files)('%s is refused with exactly these words', (file) => {
    const expected = readFileSync(`${directory}/${file}`, 'utf8')
      .split('\n')
      .filter((line) => line.startsWith('#! '))
      .map((line) => `${file}:${line.slice(3)}`)
    const { config, findings } = loadConfig({ file, cwd: directory, env: {} })
    expect(findings.map(showFinding)).toEqual(expected)
    expect(config).toBeUndefined()
  })
})
