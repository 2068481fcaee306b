import { execFileSync } from 'node:child_process'
import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { root } from '../docs/markdown.ts'

/** What is asked of the scripts of every example. */

const examples = join(root, 'examples')
const withScripts = readdirSync(examples).filter((name) => existsSync(join(examples, name, 'scripts')))

test('two examples have scripts', () => expect(withScripts).toEqual(['aws-event-pipeline', 'order-saga']))

describe.each(withScripts)('the scripts of %s', (name) => {
  const folder = join(examples, name, 'scripts')
  const shell = readdirSync(folder).filter((f) => f.endsWith('.sh'))
  const readme = readFileSync(join(examples, name, 'README.md'), 'utf8')

  test.each(shell)('%s is bash', (file) => {
    execFileSync('bash', ['-n', join(folder, file)])
  })
  // `prelude.sh` is read by the others, never run.
  test.each(shell.filter((f) => f !== 'prelude.sh'))('%s can be run, and the README says when', (file) => {
    expect(statSync(join(folder, file)).mode & 0o111).toBe(0o111)
    expect(readme).toContain(`scripts/${file}`)
  })
  test('no answer of the gateway is thrown away by curl -f', () => {
    for (const file of shell)
      expect(readFileSync(join(folder, file), 'utf8'), file).not.toMatch(/curl\b[^\n]* (-\w*f\w*|--fail)\b/)
  })
})
