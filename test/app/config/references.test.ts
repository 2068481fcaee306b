import { describe, expect, test } from 'vitest'
import { CONSOLE, readText } from './read.ts'

const port = (value: string, env: { [name: string]: string }) =>
  readText(`[server]\nport = ${value}\n${CONSOLE}`, { env })

describe('a string that is one reference takes the type its key expects', () => {
  test.each([
    ['[server]\nport = "${X}"', '9000', (c: C) => c.server.port, 9000],
    ['[server]\nport = "${X:-9001}"', undefined, (c: C) => c.server.port, 9001],
    ['[audit]\nenabled = "${X}"', 'false', (c: C) => c.audit.enabled, false],
    ['[server]\nallowed_hosts = "${X}"', '["a", "b"]', (c: C) => c.server.allowedHosts, ['a', 'b']],
    ['[rules]\nenv = ["A", "${X}"]', 'B', (c: C) => c.rules.env, ['A', 'B']],
    ['[audit.redact]\nplaceholder = "${X}"', '1', (c: C) => c.audit.redact.placeholder, '1'],
    [
      '[background]\ngroup_flush_interval_seconds = "${X:-0.5}"',
      '',
      (c: C) => c.background.groupFlushIntervalSeconds,
      0.5,
    ],
    ['[rules]\ndirectory = "/r/${X}/${Y:-y}"', 'x', (c: C) => c.rules.directory, '/r/x/y'],
    ['[audit.redact]\nplaceholder = "$${X}"', 'x', (c: C) => c.audit.redact.placeholder, '${X}'],
    [
      '[[chains.definitions]]\nname="c"\ntimeout_seconds = "${X}"\nsteps=[{name="s",provider="console",action_type="x",payload_template={n="${X}"}}]',
      '7',
      (c: C) => c.chains.definitions,
      [
        {
          name: 'c',
          timeout_seconds: 7,
          steps: [{ name: 's', provider: 'console', action_type: 'x', payload_template: { n: '7' } }],
        },
      ],
    ],
  ] as const)('%j with X=%j', (text, x, pick, expected) => {
    const { config, shown } = readText(`${text}\n${CONSOLE}`, { env: x === undefined ? {} : { X: x } })
    expect(shown).toEqual([])
    expect(pick(config!)).toEqual(expected)
  })
  type C = NonNullable<ReturnType<typeof readText>['config']>

  test('at any depth of a chain, inside groups as well', () => {
    const retry = 'retry = { max_attempts = "${X}", initial_ms = "${X}" }'
    const step = `provider = "console", action_type = "\${X}", ${retry}`
    const { config, shown } = readText(
      `[[chains.definitions]]
name = "c"
max_concurrent = "\${X}"
enabled = "\${ON}"
[[chains.definitions.steps]]
name = "p"
parallel = { max_concurrency = "\${X}", branches = [{ name = "b", ${step} }] }
[[chains.definitions.steps]]
name = "f"
for_each = { items = ["\${X}"], max_items = "\${X}", step = { ${step}, compensate = { ${step} } } }
[[chains.definitions.steps]]
name = "w"
wait_for_signal = { signal = "\${X}", timeout_seconds = "\${X}" }
allow_failure = "\${ON}"
${CONSOLE}`,
      { env: { X: '7', ON: 'true' } },
    )
    expect(shown).toEqual([])
    const does = { provider: 'console', action_type: '7', retry: { max_attempts: 7, initial_ms: 7 } }
    expect(config?.chains.definitions).toEqual([
      {
        name: 'c',
        max_concurrent: 7,
        enabled: true,
        steps: [
          { name: 'p', parallel: { max_concurrency: 7, branches: [{ name: 'b', ...does }] } },
          { name: 'f', for_each: { items: ['7'], max_items: 7, step: { ...does, compensate: does } } },
          { name: 'w', wait_for_signal: { signal: '7', timeout_seconds: 7 }, allow_failure: true },
        ],
      },
    ])
  })
  test('what it holds is checked like anything written there, and not repeated', () => {
    expect(port('"${P}"', { P: 'hunter2' }).shown).toEqual([
      'gateway.toml:2:8: error: server.port: expected a number, got a string',
    ])
    expect(port('"${P}"', { P: '70000' }).shown).toEqual([
      'gateway.toml:2:8: error: server.port: must be at most 65535',
    ])
  })
  test('PITFALLS 40: what a variable holds is not expanded again', () => {
    const { config } = readText(`[audit.redact]\nplaceholder = "\${A} "\n${CONSOLE}`, { env: { A: '${B}', B: 'x' } })
    expect(config?.audit.redact.placeholder).toBe('${B} ')
  })
})

describe('overrides', () => {
  test('flags are over variables, variables over the file', () => {
    const text = `[server]\nport = 1\nhost = "localhost"\nbody_limit_bytes = 10\n${CONSOLE}`
    const env = { SIGNALBOX__SERVER__PORT: '2', SIGNALBOX__SERVER__BODY_LIMIT_BYTES: '20' }
    const { config, shown } = readText(text, { env, set: ['server.port=3'] })
    expect(shown).toEqual([])
    expect(config?.server).toMatchObject({ port: 3, host: 'localhost', bodyLimitBytes: 20 })
    expect(readText(text, { env, set: ['server.port=3'], port: '4', host: '127.0.0.1' }).config?.server).toMatchObject({
      port: 4,
      host: '127.0.0.1',
    })
  })

  test.each([
    ['background.group_flush_interval_seconds=1', (c: C) => c.background.groupFlushIntervalSeconds, 1],
    ['audit.redact.fields=["a", "b"]', (c: C) => c.audit.redact.fields, ['a', 'b']],
    ['audit.redact={enabled = false}', (c: C) => c.audit.redact.enabled, false],
    ['rules.default_provider=console', (c: C) => c.rules.defaultProvider, 'console'],
    ['rules.default_provider="console"', (c: C) => c.rules.defaultProvider, 'console'],
    ['audit.redact.placeholder=12', (c: C) => c.audit.redact.placeholder, '12'],
    ['audit.redact.placeholder=a=b', (c: C) => c.audit.redact.placeholder, 'a=b'],
    ['audit.redact.placeholder=${HOME}', (c: C) => c.audit.redact.placeholder, '${HOME}'],
    ['providers.console.max_retries=9', (c: C) => c.providers[0]?.maxRetries, 9],
    ['providers."my.hook".url=http://b.test/', (c: C) => c.providers[1]?.config, { url: 'http://b.test/' }],
    [
      'circuit_breaker.providers."my.hook".failure_threshold=1',
      (c: C) => c.circuitBreaker.providers.get('my.hook')?.failureThreshold,
      1,
    ],
    ['chains.definitions.c.timeout_seconds=5', (c: C) => c.chains.definitions, [{ timeout_seconds: 5 }]],
  ] as const)('--set %s', (set, pick, expected) => {
    const { config, shown } = readText(FILE, { set: [set] })
    expect(shown).toEqual([])
    expect({ value: pick(config!) }).toMatchObject({ value: expected })
  })
  type C = NonNullable<ReturnType<typeof readText>['config']>
  const FILE = `${CONSOLE}[[providers]]\nname = "my.hook"\ntype = "webhook"\nurl = "http://a.test/"\n
[[chains.definitions]]\nname = "c"\nsteps = [{ name = "s", provider = "console", action_type = "x" }]`

  test('a variable means a provider by its name, whatever its case and dashes', () => {
    const text = '[[providers]]\nname = "alert-fanout"\ntype = "webhook"\nurl = "http://a.test/"'
    const env = {
      SIGNALBOX__PROVIDERS__ALERT_FANOUT__URL: 'http://b.test/',
      SIGNALBOX__CIRCUIT_BREAKER__PROVIDERS__ALERT_FANOUT__FAILURE_THRESHOLD: '1',
    }
    const { config, shown } = readText(text, { env })
    expect(shown).toEqual([])
    expect(config?.providers[0]?.config).toMatchObject({ url: 'http://b.test/' })
    expect(config?.circuitBreaker.providers.get('alert-fanout')?.failureThreshold).toBe(1)
  })

  test.each([
    ['server.prot=1', '--set server.prot: error: unknown key "prot" in server; did you mean "port"?'],
    ['server.port=x', '--set server.port: error: server.port: expected a number, got a string'],
    ['server.port.x=1', '--set server.port.x: error: server.port is not a table'],
    ['sever.port=1', '--set sever.port: error: unknown section "sever"; did you mean "server"?'],
    [
      'providers.consle.type=log',
      '--set providers.consle.type: error: there is no "consle" in providers; did you mean "console"?',
    ],
    ['server.port', '--set server.port: error: expected section.key=value'],
    ['=1', '--set : error: expected section.key=value'],
    ['a b=1', '--set a b: error: expected section.key=value'],
  ])('--set %s is refused under its own name', (set, message) => {
    const { config, shown } = readText(`[server]\nport = 1\n${CONSOLE}`, { set: [set] })
    expect(shown).toEqual([message])
    expect(config).toBeUndefined()
  })
  test('a variable is refused under its own name, without what it holds', () => {
    const { shown } = readText(CONSOLE, { env: { SIGNALBOX__SERVER__PORT: 'hunter2', SIGNALBOX__SERVER__PROT: '1' } })
    expect(shown).toEqual([
      'SIGNALBOX__SERVER__PORT: error: server.port: expected a number, got a string',
      'SIGNALBOX__SERVER__PROT: error: unknown key "prot" in server; did you mean "port"?',
    ])
  })
  test('--port and --host are refused under their own names', () => {
    expect(readText(CONSOLE, { port: 'x', host: '' }).shown).toEqual([
      '--host: error: server.host: must not be empty',
      '--port: error: server.port: expected a number, got a string',
    ])
  })
})
