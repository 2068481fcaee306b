import { execFileSync } from 'node:child_process'
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { COMPLETED } from '../../scripts/example/order-saga/orders.ts'
import { EXAMPLE, variables } from '../../scripts/example/order-saga/shop.ts'
import { main } from '../../src/app/cli.ts'
import { loadConfig } from '../../src/app/config/load.ts'
import { innerSteps, type StepDefinition } from '../../src/chains/model/definition.ts'
import type { JsonObject } from '../../src/core/json.ts'
import { action, context, NOON, ruleset } from '../rules/build.ts'

const read = (file: string) => readFileSync(join(EXAMPLE, file), 'utf8')
const scripts = readdirSync(join(EXAMPLE, 'scripts'))
const readme = read('README.md')
const load = (env: Record<string, string> = {}) => loadConfig({ file: 'gateway.toml', cwd: EXAMPLE, env }).config!
const order = load().chains.definitions[0] as { readonly name: string; readonly steps: readonly StepDefinition[] }
const all = order.steps.flatMap((s) => [s, ...innerSteps(s).map((i) => i.step)])

describe('the configuration', () => {
  test('loads without a word, rules included', async () => {
    const said: string[] = []
    const to = { out: (l: string) => said.push(l), err: (l: string) => said.push(l), cwd: EXAMPLE, env: {} }
    expect(await main(['check', '-c', 'gateway.toml', '--strict'], to)).toBe(0)
    expect(said).toEqual(['ok: 5 providers, 3 rules, 1 chain'])
  })

  test('everything that is done before the last word can be undone', () => {
    const undone = all.flatMap((s) => (s.compensate ? [s.name] : []))
    expect(undone).toEqual(['stock', 'courier', 'packing', 'pay'])
    for (const s of all) if (s.compensate) expect(JSON.stringify(s.compensate.payload_template)).toContain('order_id')
  })

  test('its times are those of a shop where no variable says otherwise, and the run shortens what is there', () => {
    const confirmed = all.find((s) => 'wait_for_signal' in s)
    expect(confirmed).toMatchObject({ wait_for_signal: { timeout_seconds: 900 } })
    expect(all.find((s) => s.name === 'pay')).toMatchObject({ retry: { max_attempts: 3, initial_ms: 1000 } })
    expect(order).toMatchObject({ timeout_seconds: 86_400 })
    const short = { ...variables({}), CONFIRM_SECONDS: '4' }
    const shortened = JSON.stringify(load(short as Record<string, string>).chains.definitions)
    expect(shortened).toContain('"timeout_seconds":4')
    expect(shortened).toContain(`"initial_ms":${variables({})['RETRY_MS']}`)
    expect(shortened).not.toContain('"initial_ms":1000')
  })

  test('the README explains every variable, with its default', () => {
    const references = [...read('gateway.toml').matchAll(/"[^"]*\$\{(\w+):-([^}]*)\}/g)].map((m) => [m[1], m[2]])
    expect(new Set(references.map(([name]) => name)).size).toBe(5)
    for (const [name, fallback] of references)
      expect(readme).toMatch(new RegExp(`^\\| \`${name}\` +\\| \`?${fallback}\`? +\\|`, 'm'))
  })
})

describe('the rules', () => {
  const text = read('rules/orders.yaml')
  const names = { ...context.names, chains: ['order'] }
  const rules = ruleset([{ file: 'rules/orders.yaml', text }], { names })
  const plan = (payload: JsonObject, action_type = 'order.placed') =>
    rules.evaluate({ action: action(payload, { action_type }), now: NOON })

  test('start the chain that is defined, once for each order', () => {
    expect(order.name).toBe('order')
    expect(plan({ order_id: 'o-1', amount: 40 })).toMatchObject({
      guards: [{ kind: 'dedup', ttlMs: 86_400_000 }],
      end: { kind: 'chain', chain: 'order' },
    })
  })
  test.each([[0], [-1], [null], ['40']])('refuse an order with the amount %j', (amount) => {
    expect(plan({ order_id: 'o-1', amount }).end).toMatchObject({ kind: 'deny', reason: 'an order has an amount' })
  })
  test('say nothing about anything else', () => {
    expect(plan({}, 'order.shipped')).toMatchObject({ guards: [], end: { kind: 'deliver' } })
  })
})

describe('the scripts', () => {
  const shell = scripts.filter((f) => f.endsWith('.sh'))
  const run = shell.filter((f) => f !== 'prelude.sh')
  test('there are five, and what they share', () =>
    expect(run).toEqual(['cancel.sh', 'confirm.sh', 'place-order.sh', 'show.sh', 'tell.sh']))
  test.each([
    ['place-order.sh'],
    ['confirm.sh'],
    ['cancel.sh', 'o-1', 'o-2'],
    ['show.sh'],
    ['tell.sh', 'payment'],
    ['tell.sh', 'payment', 'charge', 'declined'],
  ])('%s %s %s %s says how it is used', (script, ...args) => {
    const bad = () => execFileSync('bash', [join(EXAMPLE, 'scripts', script), ...args], { stdio: 'pipe' })
    expect(bad).toThrow(new RegExp(`usage: ${script}`))
  })
  test('the shop sends the signal the order waits for', () => {
    const waits = all.flatMap((s) => ('wait_for_signal' in s ? [s.wait_for_signal.signal] : []))
    expect(waits).toEqual(['confirmed'])
    expect(read('scripts/confirm.sh')).toContain(`signal: "${waits[0]}"`)
  })
})

test('the run completes some orders and not all', () => {
  expect(COMPLETED).toContain('happy')
  expect(COMPLETED).not.toContain('declined')
})
