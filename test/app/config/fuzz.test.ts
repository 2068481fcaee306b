import fc from 'fast-check'
import { expect, test } from 'vitest'
import { flagOverride } from '../../../src/app/config/overrides.ts'
import { readText } from './read.ts'

const keys = ['server', 'port', 'state', 'backend', 'audit', 'redact', 'fields', 'providers', 'name', 'type', 'url']
const more = [
  'rules',
  'env',
  'circuit_breaker',
  'chains',
  'definitions',
  'steps',
  'branches',
  'payload_template',
  'url_file',
]
const key = fc.oneof(
  fc.constantFrom(...keys, ...more, '__proto__', 'constructor', 'toString'),
  fc.stringMatching(/^[a-z_]{1,8}$/),
)
const scalar = fc.oneof(
  fc.constantFrom(
    '"log"',
    '"webhook"',
    '"aws-sns"',
    '"email"',
    '"${X}"',
    '"${X:-1}"',
    '"${"',
    '""',
    'true',
    'inf',
    'nan',
    '1979-05-27',
    '07:32:00',
    '-0',
    '1e400',
  ),
  fc.integer().map(String),
  fc.string().map((s) => JSON.stringify(s).replaceAll('\u007f', '')),
)
const { value } = fc.letrec<{ value: string }>((tie) => ({
  value: fc.oneof(
    { depthSize: 'small' },
    scalar,
    fc.array(tie('value'), { maxLength: 3 }).map((a) => `[${a.join(', ')}]`),
    fc.dictionary(key, tie('value'), { maxKeys: 3 }).map(
      (d) =>
        `{ ${Object.entries(d)
          .map(([k, v]) => `${k} = ${v}`)
          .join(', ')} }`,
    ),
  ),
}))
const path = fc.array(key, { minLength: 1, maxLength: 4 }).map((p) => p.join('.'))
const line = fc.oneof(
  path.map((p) => `[${p}]`),
  path.map((p) => `[[${p}]]`),
  fc.tuple(path, value).map(([p, v]) => `${p} = ${v}`),
  fc.constantFrom(
    '[[providers]]',
    '[[chains.definitions]]',
    '[[chains.definitions.steps]]',
    '[circuit_breaker.providers]',
  ),
  fc.string(),
)
const lines = fc.array(line, { maxLength: 12 }).map((l) => l.join('\n'))

/** Whatever an operator writes: no crash, and either a configuration or an error that says where. */
function expectVerdict({ config, findings }: ReturnType<typeof readText>, text: string): void {
  const errors = findings.filter((f) => f.severity === 'error')
  expect(config === undefined).toBe(errors.length > 0)
  const height = text.split('\n').length
  for (const f of findings) {
    expect(f.message).not.toBe('')
    expect(f.message).not.toMatch(/\[object|Symbol/)
    expect(f.line).toBeGreaterThanOrEqual(0)
    expect(f.line).toBeLessThanOrEqual(height)
    expect(f.line === 0).toBe(f.column === 0)
  }
}

test('no text crashes the loader, and every refusal has a place', () => {
  fc.assert(
    fc.property(lines, (text) => expectVerdict(readText(text, { env: { X: 'x' } }), text)),
    { numRuns: 400 },
  )
})

test('TOML that is valid, with values of any kind at keys that are known', () => {
  const at = fc.constantFrom(
    'server.port',
    'server.allowed_hosts',
    'state',
    'audit.redact',
    'audit.redact.fields',
    'providers',
    'rules.env',
    'executor.max_retries',
    'circuit_breaker.providers',
    'circuit_breaker.providers.a',
    'chains.definitions',
    'background',
    'dead_letters.forward_to',
    'providers.a.rate_limit',
  )
  fc.assert(
    fc.property(at, value, (k, v) => expectVerdict(readText(`${k} = ${v}`), `${k} = ${v}`)),
    { numRuns: 400 },
  )
})

test('no flag and no variable crashes it', () => {
  const text = '[server]\nport = 1\n[[providers]]\nname = "a"\ntype = "log"\n'
  const name = fc.oneof(
    path,
    fc.constantFrom('providers.a.url', 'providers.0.x', 'providers.a', 'providers', '"'),
    fc.string(),
  )
  fc.assert(
    fc.property(name, fc.oneof(value, fc.string()), (n, v) => {
      expectVerdict(readText(text, { set: [`${n}=${v}`] }), text)
      expectVerdict(readText(text, { env: { [`SIGNALBOX__${n.toUpperCase().replaceAll('.', '__')}`]: v } }), text)
    }),
    { numRuns: 300 },
  )
})

test('a flag names its key and never its value', () => {
  fc.assert(
    fc.property(path, fc.string(), (p, v) => {
      expect(flagOverride(`${p}=${v}`)).toEqual({ by: `--set ${p}`, path: p.split('.'), text: v.trim(), loose: false })
    }),
  )
})
