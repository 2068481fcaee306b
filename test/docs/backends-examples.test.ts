import { readdirSync } from 'node:fs'
import { join } from 'node:path'
import { expect, it } from 'vitest'
import { main } from '../../src/app/cli.ts'
import { stateBackends } from '../../src/state/index.ts'
import { root } from './markdown.ts'

const folder = join(root, 'examples/backends')
const files = readdirSync(folder).filter((f) => f.endsWith('.toml'))

it('has a file for each store that gateways can share', () => {
  const shared = Object.keys(stateBackends).filter((b) => b !== 'sqlite')
  expect(files.toSorted()).toEqual(shared.map((b) => `${b}.toml`).toSorted())
})

it.each(files)('%s is read without a word against it, from where the README says', async (file) => {
  const said: string[] = []
  const say = (line: string) => void said.push(line)
  const code = await main(['check', '--strict', '-c', `examples/backends/${file}`], {
    out: say,
    err: say,
    cwd: root,
    env: {},
  })
  expect(said).toEqual(['ok: 1 provider, 6 rules, 0 chains'])
  expect(code, join(folder, file)).toBe(0)
})
