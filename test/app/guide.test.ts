import { cpSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterEach, describe, expect, test } from 'vitest'
import { main } from '../../src/app/cli.ts'

const guide = fileURLToPath(new URL('../fixtures/guide', import.meta.url))
const read = (file: string) => readFileSync(join(guide, file), 'utf8')
const restored = readdirSync(guide, { recursive: true, encoding: 'utf8' }).filter((f) => /\.(toml|yaml)$/.test(f))

const folders: string[] = []
afterEach(() => {
  for (const f of folders.splice(0)) rmSync(f, { recursive: true })
})
/** A copy of the guide's scenario to extend. */
function scenario(): string {
  const folder = mkdtempSync(join(tmpdir(), 'guide-'))
  folders.push(folder)
  cpSync(guide, folder, { recursive: true })
  return folder
}
async function check(cwd: string, file: string, ...more: string[]) {
  const out: string[] = []
  const err: string[] = []
  const terminal = { out: (l: string) => out.push(l), err: (l: string) => err.push(l), cwd, env: {} }
  const code = await main(['check', '-c', file, ...more], terminal)
  return { code, out, err }
}

const ON_SQLITE = ['--set', 'state.backend=sqlite', '--set', 'audit.backend=sqlite']
const LAYOUT =
  "90:1: warning: default_next stands inside a branch and is read as the step's; write it above the branches"
const SCOPES = '162:1: warning: background.namespace and background.tenant have no effect: the loops serve every scope'
const WARNINGS = [
  `gateway.toml:${LAYOUT}`,
  `gateway.toml:${SCOPES}`,
  'gateway.toml:168:1: warning: audit.url, audit.region, audit.table_name: not read by sqlite, which --set audit.backend asks for',
]

describe("the guide's own files", () => {
  test('there are all of them', () => expect(restored).toHaveLength(13))

  test.each(restored)('%s is what the guide prints, but for white space', (file) => {
    const printed = read(file.replace(/\.\w+$/, '.txt'))
    expect(read(file).replace(/\s/g, '')).toBe(printed.replace(/\s/g, ''))
  })

  test('the scenario loads on the embedded store', async () => {
    const { code, out } = await check(guide, 'gateway.toml', ...ON_SQLITE)
    expect(out).toEqual([...WARNINGS, 'ok: 7 providers, 14 rules, 2 chains'])
    expect(code).toBe(0)
  })

  test('as printed it keeps its records in DynamoDB', async () => {
    const { code, out } = await check(guide, 'gateway.toml')
    expect(code).toBe(0)
    expect(out).toEqual([...WARNINGS.slice(0, 2), 'ok: 7 providers, 14 rules, 2 chains'])
  })
})

describe('its extensions', () => {
  const providers = (folder: string, ...fragments: string[]) => {
    const text = [read('gateway.toml'), ...fragments.map((f) => read(`extending/${f}.toml`))].join('\n')
    writeFileSync(join(folder, 'gateway.toml'), text)
  }
  const rule = (folder: string, fragment: string) =>
    writeFileSync(
      join(folder, 'rules', `${fragment}.yaml`),
      `rules:\n${read(`extending/${fragment}.yaml`).replace(/^/gm, '  ')}`,
    )

  test('the S3 step, appended to its chain', async () => {
    const folder = scenario()
    const subChain = '[[chains.definitions]]\nname = "critical-alert"'
    const text = `${read('gateway.toml').replace(subChain, `${read('extending/s3-step.toml')}\n${subChain}`)}\n${read('extending/s3-provider.toml')}`
    writeFileSync(join(folder, 'gateway.toml'), text)
    const { code, out } = await check(folder, 'gateway.toml', ...ON_SQLITE)
    expect(out.at(-1)).toBe('ok: 8 providers, 14 rules, 2 chains')
    expect(out).toHaveLength(WARNINGS.length + 1)
    expect(code).toBe(0)
  })

  test('mail through SES and its rule', async () => {
    const folder = scenario()
    providers(folder, 'ses-provider')
    rule(folder, 'ses-rule')
    const { code, out } = await check(folder, 'gateway.toml', ...ON_SQLITE)
    expect(out).toEqual([...WARNINGS, 'ok: 8 providers, 15 rules, 2 chains'])
    expect(code).toBe(0)
  })

  test('a new sensor type', async () => {
    const folder = scenario()
    rule(folder, 'air-quality-rule')
    rule(folder, 'air-quality-group')
    const { code, out } = await check(folder, 'gateway.toml', ...ON_SQLITE)
    expect(out).toEqual([...WARNINGS, 'ok: 7 providers, 16 rules, 2 chains'])
    expect(code).toBe(0)
  })

  test("a rule's fault is named by its file, line and column", async () => {
    const folder = scenario()
    rule(folder, 'ses-rule')
    const { code, out, err } = await check(folder, 'gateway.toml', ...ON_SQLITE)
    expect(out.at(-1)).toMatch(/^rules\/ses-rule.yaml:12:24: error: .*"email-alerts"/)
    expect(err).toEqual(['not ok: 1 error, 3 warnings'])
    expect(code).toBe(1)
  })
})

describe('its production settings', () => {
  test.each([
    ['credentials', ['ok: 1 provider, 0 rules, 0 chains']],
    ['accounts', ['ok: 2 providers, 0 rules, 0 chains']],
    [
      'backends',
      [
        'production/backends.toml:1:1: warning: no provider is configured: nothing can be delivered',
        'ok: 0 providers, 0 rules, 0 chains',
      ],
    ],
  ])('%s', async (name, lines) => {
    const folder = scenario()
    writeFileSync(join(folder, 'production', 'none.yaml'), 'rules: []\n')
    const { code, out } = await check(folder, `production/${name}.toml`, '--set', 'rules.directory=.')
    expect(out).toEqual(lines)
    expect(code).toBe(0)
  })
})
