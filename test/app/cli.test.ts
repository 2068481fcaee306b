import { execFile } from 'node:child_process'
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { commands, main } from '../../src/app/cli.ts'
import { systemClock } from '../../src/core/clock.ts'
import { systemRandom } from '../../src/core/ids.ts'
import { VERSION } from '../../src/state/sqlite/schema.ts'
import { openSqlite } from '../../src/state/sqlite.ts'

const root = fileURLToPath(new URL('../..', import.meta.url))
const entry = join(root, 'src', 'app', 'signalbox.cjs')

let folder = ''
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'cli-'))
  writeFileSync(join(folder, 'bad.toml'), '[server]\nprot = 1\n')
})
afterAll(() => rmSync(folder, { recursive: true }))

interface Ended {
  readonly code: number
  readonly out: string
  readonly err: string
}
const run = (args: readonly string[], cwd: string): Promise<Ended> =>
  new Promise((resolve) => {
    execFile(process.execPath, [entry, ...args], { cwd }, (e, out, err) =>
      resolve({ code: typeof e?.code === 'number' ? e.code : 0, out, err }),
    )
  })
async function here(...args: string[]): Promise<Ended> {
  const out: string[] = []
  const err: string[] = []
  const code = await main(args, { out: (l) => out.push(l), err: (l) => err.push(l), cwd: folder, env: {} })
  return { code, out: out.join('\n'), err: err.join('\n') }
}

describe('as a process', () => {
  test('version', async () => {
    expect(await run(['version'], folder)).toEqual({
      code: 0,
      out: `signalbox 0.1.0 (node ${process.version})\n`,
      err: '',
    })
  })
  test('the default configuration and rules are flawless', async () => {
    expect(await run(['check', '--strict'], root)).toEqual({
      code: 0,
      out: 'ok: 1 provider, 6 rules, 0 chains\n',
      err: '',
    })
  })
  test('a bad file ends with 1', async () => {
    const { code, out, err } = await run(['check', '-c', 'bad.toml'], folder)
    expect(out).toContain('bad.toml:2:1: error: unknown key "prot" in server; did you mean "port"?\n')
    expect(err).toBe('not ok: 1 error, 1 warning\n')
    expect(code).toBe(1)
  })
  test('a misused command line ends with 2', async () => {
    const { code, err } = await run(['check', '--strct'], folder)
    expect(err).toBe('signalbox check: unknown option --strct; did you mean "--strict"?\n')
    expect(code).toBe(2)
  })
})

describe('words', () => {
  test.each([
    [['chekc'], 'signalbox: unknown command "chekc"; did you mean "check"?'],
    [['xyz'], 'signalbox: unknown command "xyz"; expected one of serve, check, migrate, backup, restore, version'],
    [['check', 'extra'], 'signalbox check: unexpected "extra"'],
    [['serve', '--port'], 'signalbox serve: --port needs a value'],
    [['serve', '--port', '--host', 'x'], 'signalbox serve: --port needs a value'],
    [['check', '--strict=yes'], 'signalbox check: --strict takes no value'],
    [['check', '-c', 'a', '--config', 'b'], 'signalbox check: --config is given twice'],
    [['migrate', '--port', '1'], 'signalbox migrate: unknown option --port'],
    [['check', '-x'], 'signalbox check: unknown option -x'],
    [['backup'], 'signalbox backup: FILE is missing: the copy'],
    [['restore', 'a', 'b'], 'signalbox restore: unexpected "b"'],
  ])('%j', async (args, message) => {
    const { code, err } = await here(...args)
    expect(err.startsWith(message)).toBe(true)
    expect(code).toBe(2)
  })
  test('help is asked for in every usual way, and names every option', async () => {
    for (const args of [['--help'], ['help'], ['-h']]) {
      const { code, out } = await here(...args)
      expect(code).toBe(0)
      for (const c of commands) for (const o of Object.keys(c.options)) expect(out).toContain(`--${o}`)
    }
    expect((await here('check', '--help')).out).toContain('--strict')
    expect((await here()).code).toBe(2)
  })
})

test('serve refuses a configuration with errors before anything is opened', async () => {
  const { code, err } = await here('serve', '-c', 'bad.toml', '--set', 'state.backend=floppy')
  expect(err).toContain('bad.toml:2:1: error: unknown key "prot" in server')
  expect(err).toContain('--set state.backend: error: state.backend: expected one of sqlite, redis, postgres, dynamodb')
  expect(code).toBe(1)
})

test('migrate says what it did', async () => {
  const file = join(folder, 'data', 'signalbox.db')
  expect(await here('migrate')).toMatchObject({ code: 0, out: `${file}: created, schema ${VERSION}` })
  expect(await here('migrate')).toMatchObject({ code: 0, out: `${file}: schema ${VERSION}, nothing to do` })
  const away = ['--set', 'state.backend=postgres', '--set', 'state.url=postgres://user:secret@127.0.0.1:1/db'] as const
  const { code, err } = await here('migrate', ...away)
  expect(err).toMatch(/^signalbox migrate: [^\n]*127\.0\.0\.1:1[^\n]*$/m)
  expect(err).not.toContain('secret')
  expect(code).toBe(1)
})

test.each([
  ['empty', '', 'empty.yaml:1:1: warning: there is nothing in the file'],
  ['comments', '# gone\n', 'comments.yaml:1:1: warning: there is nothing in the file'],
  ['none', undefined, 'none: warning: there is no .yaml or .yml file in the rules directory'],
])('check --strict fails on rules that are gone: %s', async (name, text, said) => {
  mkdirSync(join(folder, name))
  if (text !== undefined) writeFileSync(join(folder, name, `${name}.yaml`), text)
  const { code, out } = await here('check', '--strict', '--set', `rules.directory=${name}`)
  expect(out).toContain(said)
  expect(code).toBe(1)
})

test('check --connect opens the store and reaches every provider, and says which it could not', async () => {
  const hook = '[[providers]]\nname = "hook"\ntype = "webhook"\nurl = "http://127.0.0.1:1/"\ntimeout_seconds = 5\n'
  writeFileSync(
    join(folder, 'connect.toml'),
    `[rules]\ndirectory = "."\n[[providers]]\nname = "log"\ntype = "log"\n${hook}`,
  )
  const { code, out, err } = await here('check', '-c', 'connect.toml', '--connect')
  expect(out).toContain('provider log: reached')
  expect(out).toContain(`state ${join(folder, 'data', 'signalbox.db')}: reached`)
  expect(err).toMatch(/^provider hook: \w+: /)
  expect(code).toBe(1)
})

test('check knows the chains of the API with --connect, and only warns of them without', async () => {
  const path = join(folder, 'of-api', 'signalbox.db')
  mkdirSync(join(folder, 'of-api', 'rules'), { recursive: true })
  const rule = (name: string) => `  - { name: ${name}, action: { type: chain, chain: ${name}, then: continue } }\n`
  writeFileSync(join(folder, 'of-api', 'rules', 'r.yaml'), `rules:\n${rule('refund')}${rule('none')}`)
  const toml = `[state]\npath = "${path}"\n[rules]\ndirectory = "of-api/rules"\n[[providers]]\nname = "log"\ntype = "log"\n`
  writeFileSync(join(folder, 'of-api.toml'), toml)
  const steps = [{ name: 's', provider: 'log', action_type: 'x' }]
  const { state } = await openSqlite({
    path,
    synchronous: 'full',
    clock: systemClock(),
    random: systemRandom(),
    inThread: true,
  })
  const stored = { definition: { name: 'refund', steps }, updated_at: '2026-01-01T00:00:00.000Z', updated_by: 'ann' }
  await (await state.control('chains')).put('refund', JSON.stringify(stored), {})
  await state.close()

  const without = await here('check', '-c', 'of-api.toml')
  expect(without.out).toContain('warning: there is no chain "refund" in the file; it may be defined by the API\n')
  expect(without.code).toBe(0)
  const connected = await here('check', '-c', 'of-api.toml', '--connect')
  expect(connected.out).not.toContain('"refund"')
  expect(connected.out).toContain('warning: there is no chain "none"; until it is defined the rule cannot start it\n')
  expect(connected.code).toBe(0)
  writeFileSync(
    join(folder, 'of-api.toml'),
    `${toml}[[chains.definitions]]\nname = "refund"\nsteps = [{ name = "s", provider = "log", action_type = "x" }]\n`,
  )
  const both = await here('check', '-c', 'of-api.toml', '--connect')
  expect(both.out).toContain('chains.definitions.0.name: error: chain "refund" is defined elsewhere already')
  expect(both.code).toBe(1)
})
