import { createRequire } from 'node:module'
import { join } from 'node:path'
import { expect, test } from 'vitest'

interface Entry {
  isRecent(version: string, needed: string): boolean
  pinnedNode(packageRoot: string, exists: (path: string) => boolean): string | undefined
}
const { isRecent, pinnedNode } = createRequire(import.meta.url)('../../src/app/signalbox.cjs') as Entry // plain JavaScript

test.each([
  ['v24.15.0', true],
  ['v24.21.3', true],
  ['v25.0.0', true],
  ['v24.14.9', false],
  ['v20.99.0', false],
  ['v4.0.0', false],
])('%s is recent enough: %s', (version, recent) => expect(isRecent(version, '24.15')).toBe(recent))

test('an older Node looks for the one beside the package, then among its siblings', () => {
  const beside = join('/p', 'node_modules', '.bin', 'node')
  const among = join('/', '.bin', 'node')
  expect(pinnedNode('/p', () => true)).toBe(beside)
  expect(pinnedNode('/p', (f) => f === among)).toBe(among)
  expect(pinnedNode('/p', () => false)).toBeUndefined()
})
