import { execFileSync } from 'node:child_process'
import { mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { describe, expect, test } from 'vitest'
import { main } from '../../src/app/cli.ts'
import { loadConfig } from '../../src/app/config/load.ts'

const example = fileURLToPath(new URL('../../examples/aws-event-pipeline', import.meta.url))
const read = (file: string) => readFileSync(join(example, file), 'utf8')
const scripts = readdirSync(join(example, 'scripts'))
const shell = scripts.filter((f) => f.endsWith('.sh'))
/** `prelude.sh` is read by the others, never run. */
const run = shell.filter((f) => f !== 'prelude.sh')
const ruleFiles = readdirSync(join(example, 'rules')).map((f) => `rules/${f}`)
const readme = read('README.md')

describe('the scripts', () => {
  test('there are five', () =>
    expect(run).toEqual(['send-telemetry.sh', 'setup-api.sh', 'setup.sh', 'show-report.sh', 'teardown.sh']))
  test.each([['--burst'], ['--burst', 'many'], ['--burst', '0'], ['--only', 'nothing'], ['--onyl', 'energy']])(
    'send-telemetry.sh %s %s says how it is used',
    (...args) => {
      const bad = () => execFileSync('bash', [join(example, 'scripts/send-telemetry.sh'), ...args], { stdio: 'pipe' })
      expect(bad).toThrow(/usage: send-telemetry\.sh/)
    },
  )
  test('a missing tool is named before anything is done', () => {
    const bin = mkdtempSync(join(tmpdir(), 'example-bin-'))
    try {
      const where = (name: string) => execFileSync('bash', ['-c', `command -v ${name}`], { encoding: 'utf8' }).trim()
      symlinkSync(where('dirname'), join(bin, 'dirname'))
      const setup = [join(example, 'scripts/setup.sh')]
      const none = () => execFileSync(where('bash'), setup, { env: { PATH: bin }, stdio: 'pipe' })
      expect(none).toThrow(/python3 is missing: the scripts need python3, jq and curl/)
    } finally {
      rmSync(bin, { recursive: true })
    }
  })
})

describe('the configuration', () => {
  const load = (env: Record<string, string>) => loadConfig({ file: 'gateway.toml', cwd: example, env })

  test('loads without a word, rules included', async () => {
    const said: string[] = []
    const to = { out: (l: string) => said.push(l), err: (l: string) => said.push(l), cwd: example, env: {} }
    expect(await main(['check', '-c', 'gateway.toml', '--strict'], to)).toBe(0)
    expect(said).toEqual(['ok: 8 providers, 15 rules, 2 chains'])
  })

  test('its times are the ones of a real building where no variable says otherwise', () => {
    const { config } = load({})
    expect(config?.background).toMatchObject({
      groupFlushIntervalSeconds: 10,
      scheduledCheckIntervalSeconds: 1,
      timeoutCheckIntervalSeconds: 10,
      recurringCheckIntervalSeconds: 30,
      cleanupIntervalSeconds: 60,
      retentionCheckIntervalSeconds: 60,
      maxRecurringActionsPerTenant: 10,
    })
    expect(config?.circuitBreaker).toMatchObject({
      failureThreshold: 3,
      successThreshold: 1,
      recoveryTimeoutSeconds: 30,
    })
    for (const [name, fallbackProvider] of [
      ['anomaly-detector', 'dead-letter-queue'],
      ['alert-fanout', 'local-fallback'],
    ] as const)
      expect(config?.circuitBreaker.providers.get(name)).toMatchObject({
        failureThreshold: 2,
        recoveryTimeoutSeconds: 60,
        fallbackProvider,
      })
    expect(config?.audit).toMatchObject({
      ttlSeconds: 604_800,
      storePayload: true,
      redact: { fields: ['aws_role_arn', 'function_arn', 'queue_url'], placeholder: '[REDACTED]' },
    })
  })

  test('one variable moves all of AWS', () => {
    const { config } = load({ AWS_ENDPOINT_URL: 'http://elsewhere:1' })
    const aws = config?.providers.filter((p) => p.type !== 'log').map((p) => JSON.stringify(p.config)) ?? []
    expect(aws).toHaveLength(7)
    for (const text of aws) expect(text).toContain('"aws_endpoint_url":"http://elsewhere:1"')
    expect(aws.join()).not.toContain('localhost')
  })

  test('the README explains every variable, with its default', () => {
    const references = ['gateway.toml', ...ruleFiles].flatMap((f) =>
      [...read(f).matchAll(/"[^"]*\$\{(\w+):-([^}]*)\}/g)].map((m) => [m[1], m[2]] as const),
    )
    expect(new Set(references.map(([name]) => name)).size).toBe(15)
    for (const [name, fallback] of references)
      expect(readme).toMatch(new RegExp(`^\\| \`${name}\` +\\| \`?${fallback}\`? +\\|`, 'm'))
  })
})
