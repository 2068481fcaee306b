import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { describe, expect, onTestFinished, test } from 'vitest'
import { loadConfig, requestAgain } from '../../../src/app/config/load.ts'
import { showFinding } from '../../../src/core/errors.ts'
import { CONSOLE, readText } from './read.ts'

describe('without a file', () => {
  test('SQLite in ./data, rules in ./rules, a log provider, and nothing to say', () => {
    const { config, shown } = readText(undefined)
    expect(shown).toEqual([])
    expect(config).toMatchObject({
      file: undefined,
      directory: '/etc/signalbox',
      state: { backend: 'sqlite', path: '/etc/signalbox/data/signalbox.db', synchronous: 'full' },
      audit: { backend: 'sqlite', path: '/etc/signalbox/data/signalbox.db', enabled: true, storePayload: true },
      rules: { directory: '/etc/signalbox/rules', defaultTimezone: 'UTC', defaultProvider: 'log', env: [] },
      providers: [{ name: 'log', type: 'log' }],
      server: { host: '127.0.0.1', port: 8080, bodyLimitBytes: 2_097_152, shutdownTimeoutSeconds: 30 },
    })
  })

  test('one that was asked for must be there', () => {
    const { config, shown } = readText(undefined, { file: 'missing.toml' })
    expect(config).toBeUndefined()
    expect(shown).toEqual(['missing.toml: error: cannot read the configuration: there is no such file'])
  })
})

test('PITFALLS 1: a file that is gone at a reload is an error, not the built-in configuration', () => {
  const request = { cwd: '/etc/signalbox', env: {} }
  const { config } = readText(CONSOLE, request)
  const again = readText(undefined, requestAgain(request, config!))
  expect(again.config).toBeUndefined()
  expect(again.shown).toEqual(['gateway.toml: error: cannot read the configuration: there is no such file'])
  const withoutFile = readText(undefined, request)
  expect(readText(undefined, requestAgain(request, withoutFile.config!)).config).toEqual(withoutFile.config)
})

test('a file in another encoding is refused at its place, and so is a secret', () => {
  const cwd = mkdtempSync(join(tmpdir(), 'signalbox-config-'))
  onTestFinished(() => rmSync(cwd, { recursive: true }))
  const shown = (toml: string, encoding: BufferEncoding): readonly string[] => {
    writeFileSync(join(cwd, 'gateway.toml'), toml, encoding)
    return loadConfig({ cwd, env: {} }).findings.map(showFinding)
  }
  expect(shown(`${CONSOLE}\n# für später\n`, 'utf8')).toEqual([])
  const line = CONSOLE.split('\n').length + 1
  expect(shown(`${CONSOLE}\n# für später\n`, 'latin1')).toEqual([
    `gateway.toml:${line}:4: error: is not UTF-8; save it in that encoding`,
  ])
  writeFileSync(join(cwd, 'key'), 'whsec_ü', 'latin1')
  const hook = '[[providers]]\nname = "h"\ntype = "webhook"\nurl = "http://127.0.0.1:1"\nsigning_secret_file = "key"\n'
  expect(shown(hook, 'utf8')).toEqual([
    'gateway.toml:5:23: error: signing_secret_file: cannot read key: it is not UTF-8',
  ])
})

test('an empty file has every default of the contract', () => {
  const { config, shown } = readText('')
  expect(shown).toEqual(['gateway.toml:1:1: warning: no provider is configured: nothing can be delivered'])
  expect(config).toMatchObject({
    executor: {
      maxRetries: 3,
      timeoutSeconds: 30,
      deadlineSeconds: 60,
      maxConcurrent: 64,
      backoffInitialMs: 200,
      backoffMaxMs: 10_000,
    },
    circuitBreaker: { enabled: true, failureThreshold: 5, successThreshold: 1, recoveryTimeoutSeconds: 60 },
    chains: {
      definitions: [],
      defaultTimeoutSeconds: 300,
      maxConcurrentAdvances: 64,
      completedChainTtlSeconds: 604_800,
    },
    background: {
      enabled: true,
      enableGroupFlush: true,
      enableScheduledActions: true,
      enableTimeoutProcessing: true,
      enableRecurringActions: true,
      enableRetentionReaper: true,
      groupFlushIntervalSeconds: 1,
      scheduledCheckIntervalSeconds: 1,
      timeoutCheckIntervalSeconds: 10,
      recurringCheckIntervalSeconds: 1,
      cleanupIntervalSeconds: 60,
      retentionCheckIntervalSeconds: 60,
      maxRecurringActionsPerTenant: 100,
      holdMaxAttempts: 20,
      holdMaxAgeSeconds: 86_400,
    },
    hotRules: {
      mode: 'warn',
      internalMode: 'disable',
      ruleLimit: { count: 100, windowMs: 30_000, window: 'PT30S' },
      entityLimit: { count: 50, windowMs: 60_000, window: 'PT1M' },
      internalLimit: { count: 20, windowMs: 300_000, window: 'PT5M' },
      entityFields: ['payload.device_id', 'payload.entity_id', 'payload.id'],
    },
    quotas: { enabled: true },
    deadLetters: { forwardTo: undefined, ttlSeconds: undefined },
    audit: { ttlSeconds: undefined, redact: { enabled: true, fields: [], placeholder: '[REDACTED]' } },
  })
})

test('PITFALLS 26: every background loop is on by default', () => {
  const { background } = readText('').config!
  expect(Object.entries(background).filter(([, v]) => v === false)).toEqual([])
})

test.each([
  ['off', undefined, 'off'],
  ['off', 'warn', 'warn'],
  ['warn', undefined, 'disable'],
  ['disable', undefined, 'disable'],
  ['disable', 'off', 'off'],
])('hot rules: with mode %s and internal_mode %s, what came from the gateway itself has %s', (mode, internal, is) => {
  const set = [`hot_rules.mode=${mode}`, ...(internal === undefined ? [] : [`hot_rules.internal_mode=${internal}`])]
  expect(readText(CONSOLE, { set }).config?.hotRules).toMatchObject({ mode, internalMode: is })
})

test('half of a limit leaves the other half as it was, by file and by variable', () => {
  const env = { SIGNALBOX__HOT_RULES__INTERNAL_LIMIT__WINDOW: 'PT1H', SPAN: 'P1D' }
  const text = `${CONSOLE}[hot_rules]\nrule_limit = { count = 7 }\nentity_limit.window = "\${SPAN}"\n`
  expect(readText(text, { env }).config?.hotRules).toMatchObject({
    ruleLimit: { count: 7, windowMs: 30_000 },
    entityLimit: { count: 50, windowMs: 86_400_000, window: 'P1D' },
    internalLimit: { count: 20, windowMs: 3_600_000 },
  })
})

test('every key of every section is read', () => {
  const fixture = (name: string) =>
    readFileSync(fileURLToPath(new URL(`../../fixtures/config/good/${name}`, import.meta.url)), 'utf8')
  const { config, shown } = readText(fixture('full.toml'), {
    files: { '/etc/signalbox/secret.txt': fixture('secret.txt') },
  })
  expect(shown).toEqual([])
  expect(config).toMatchSnapshot()
})

describe('secrets by file', () => {
  const hook = '[[providers]]\nname = "hook"\ntype = "webhook"\nurl_file = "url.txt"\n'

  test('the path is relative to the configuration, the last line break is left out', () => {
    const { config } = readText(hook, { files: { '/etc/signalbox/url.txt': 'http://localhost:1/\n' } })
    expect(config?.providers[0]?.config).toMatchObject({ url: 'http://localhost:1/' })
  })

  test('a fault in what the file holds is reported where the file is named, without its text', () => {
    const { shown } = readText(hook, { files: { '/etc/signalbox/url.txt': 'hunter2' } })
    expect(shown).toEqual(['gateway.toml:4:12: error: providers.hook.url: expected a URL with its scheme'])
  })
})

describe('what is accepted with a word', () => {
  test.each([
    ['[server]\napproval_secret = "x"', 'server.approval_secret has no effect until approvals are built'],
    ['[quotas]\nenabled = false', 'quotas.enabled is false: no quota is counted or enforced'],
    ['[background]\nnamespace = "a"', 'background.namespace has no effect: the loops serve every scope'],
    [
      '[background]\nnamespace = "a"\ntenant = "b"',
      'background.namespace and background.tenant have no effect: the loops serve every scope',
    ],
    [
      '[server]\nhost = "0.0.0.0"',
      'server.host: whoever can reach 0.0.0.0 may dispatch and administer; no one is asked who they are',
    ],
  ])('%j', (text, message) => {
    const { config, shown } = readText(`${text}\n${CONSOLE}`)
    expect(shown).toEqual([`gateway.toml:2:1: warning: ${message}`])
    expect(config).toBeDefined()
  })
  test('paths as of other tools hide nothing, and that is said', () => {
    const written = [
      'email',
      'action.payload.card.number',
      'payload.people.ssn',
      'payload.$type',
      'payload.people.*.ssn',
      '$.a',
      'a[0].b',
    ]
    const { config, shown } = readText(`[audit.redact]\nfields = ${JSON.stringify(written)}\n${CONSOLE}`)
    const named = (field: string) =>
      expect.stringContaining(`warning: audit.redact.fields: "${field}" hides a field of`)
    expect(shown).toEqual(['payload.people.*.ssn', '$.a', 'a[0].b'].map(named))
    expect(config).toBeDefined()
  })
  test('templates where a provider takes none, and such as are none, are said', () => {
    const { config, shown } = readText(`[[providers]]
name = "mail"
type = "email"
smtp_host = "127.0.0.1"
from_address = "noc@example.com"
subject = "about {{payload.host}}"
[[providers]]
name = "hook"
type = "webhook"
url = "http://127.0.0.1:9100/x"
headers = { x-host = "{{payload.host}}" }
body = { text = ["{{payload.host}: {{payload.check}}"], host = "{{payload.host}}", braces = "{{{payload.host}}{" }
[[providers]]
name = "secret"
type = "email"
smtp_host = "127.0.0.1"
smtp_username = "noc"
smtp_password = "x{{y"
from_address = "noc@example.com"
`)
    const literal = 'takes no templates: "{{" goes out as it is; a modify rule can put the value into the payload'
    expect(shown).toEqual([
      `gateway.toml:6:11: warning: providers.mail.subject: ${literal}`,
      `gateway.toml:11:22: warning: providers.hook.headers.x-host: ${literal}`,
      'gateway.toml:12:18: warning: providers.hook.body.text[0]: "{{" without its "}}" is no template, and goes out as it is',
    ])
    expect(config).toBeDefined()
  })
  test('[quotas] enabled = true is nothing special', () => {
    expect(readText(`[quotas]\nenabled = true\n${CONSOLE}`).shown).toEqual([])
  })
  test('PITFALLS 56: [auth] is never accepted silently', () => {
    const { config, shown } = readText(`[auth]\n${CONSOLE}`)
    expect(config).toBeUndefined()
    expect(shown[0]).toMatch(/^gateway.toml:1:2: error: \[auth\] is refused until it is built/)
  })
})

describe('backends', () => {
  const redis = `[state]\nbackend = "redis"\nurl = "redis://localhost"\n${CONSOLE}`
  test("another backend's keys are one warning once a flag has moved the file to sqlite", () => {
    const file = redis.replace(CONSOLE, `prefix = "p"\n${CONSOLE}`)
    const { config, shown } = readText(file, { set: ['state.backend=sqlite'] })
    expect(shown).toEqual([
      'gateway.toml:3:1: warning: state.url, state.prefix: not read by sqlite, which --set state.backend asks for',
    ])
    expect(config?.state.backend).toBe('sqlite')
  })
  test('the audit follows the state, also where a flag has moved that', () => {
    const { config, shown } = readText(`[audit]\nurl = "x"\n${CONSOLE}`, { set: ['state.backend=sqlite'] })
    expect(config?.audit.backend).toBe('sqlite')
    expect(shown).toEqual([
      'gateway.toml:2:1: warning: audit.url: not read by sqlite, which --set state.backend asks for',
    ])
  })
  test('aws_region is another word for region', () => {
    const text = `[state]\nbackend = "dynamodb"\naws_region = "eu-west-1"\n${CONSOLE}`
    expect(readText(text).config?.state.region).toBe('eu-west-1')
  })
})

describe('breakers', () => {
  test('every provider has one, its own settings over those of the section', () => {
    const { config } = readText(
      `${CONSOLE}[[providers]]\nname = "spare"\ntype = "log"\n[circuit_breaker]\nfailure_threshold = 3\n[circuit_breaker.providers.console]\nrecovery_timeout_seconds = 5\nfallback_provider = "spare"`,
    )
    const common = { failureThreshold: 3, successThreshold: 1 }
    expect(config?.circuitBreaker.providers).toEqual(
      new Map([
        ['console', { ...common, recoveryTimeoutSeconds: 5, fallbackProvider: 'spare' }],
        ['spare', { ...common, recoveryTimeoutSeconds: 60, fallbackProvider: undefined }],
      ]),
    )
  })
  test('PITFALLS 37: two providers of one type keep their own settings', () => {
    const hook = (name: string) => `[[providers]]\nname = "${name}"\ntype = "webhook"\nurl = "http://${name}.test/"\n`
    const { config } = readText(hook('a') + hook('b'))
    expect(config?.providers.map((p) => p.config)).toMatchObject([{ url: 'http://a.test/' }, { url: 'http://b.test/' }])
  })
})

test('names that are words of the language are only names', () => {
  const text =
    '[[providers]]\nname = "__proto__"\ntype = "log"\n[circuit_breaker.providers.__proto__]\nfailure_threshold = 2'
  const { config, shown } = readText(text)
  expect(shown).toEqual([])
  expect(config?.circuitBreaker.providers.get('__proto__')?.failureThreshold).toBe(2)
  const odd = readText(`${CONSOLE}[constructor]\n[server]\n__proto__ = 1\ntoString = 2`)
  expect(odd.shown).toEqual([
    'gateway.toml:4:2: error: unknown section "constructor"; it has server, state, audit, providers, rules, hot_rules, executor, circuit_breaker, chains, lineage, background, quotas, dead_letters',
    expect.stringContaining('gateway.toml:6:1: error: unknown key "__proto__" in server'),
    expect.stringContaining('gateway.toml:7:1: error: unknown key "toString" in server'),
  ])
})

test('a table with a key named constructor in the place of a number is only a wrong type', () => {
  const { shown } = readText(`${CONSOLE}[server]\nport = { constructor = { name = {} } }\n`)
  expect(shown).toEqual(['gateway.toml:5:8: error: server.port: expected a number, got a table'])
})
