import { readdirSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { expect, it } from 'vitest'
import { main } from '../../src/app/cli.ts'
import { stateBackends } from '../../src/state/index.ts'

const folder = resolve(import.meta.dirname, '../../examples/backends')
const files = readdirSync(folder).filter((f) => f.endsWith('.toml'))

it('has a file for each store that gateways can share', () => {
  const shared = Object.keys(stateBackends).filter((b) => b !== 'sqlite')
  expect(files.toSorted()).toEqual(shared.map((b) => `${b}.toml`).toSorted())
})

it.each(files)('%s is read without a word against it', async (file) => {
  const said: string[] = []
  const say = (line: string) => void said.push(line)
  const args = ['check', '--strict', '-c', file, '--set', 'rules.directory=../../rules']
  const code = await main(args, { out: say, err: say, cwd: folder, env: {} })
  expect(said).toEqual(['ok: 1 provider, 6 rules, 0 chains'])
  expect(code, join(folder, file)).toBe(0)
})
