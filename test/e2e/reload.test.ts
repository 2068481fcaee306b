import { renameSync, rmSync, symlinkSync } from 'node:fs'
import { expect, test } from 'vitest'
import type { JsonObject } from '../../src/core/json.ts'
import { PROMISED_MS } from '../fakes/soon.ts'
import { type Gateway, serve } from './gateway.ts'
import { place } from './place.ts'
import { receiver } from './receiver.ts'
import { until } from './run.ts'

const rule = (type: string): string =>
  `rules:\n  - { name: notes, condition: { field: action.action_type, eq: note }, action: { type: ${type} } }\n`
const outcomeOf = async (gateway: Gateway): Promise<unknown> =>
  (await gateway.dispatch({ action_type: 'note' })).body['outcome']
/** How long until an action is answered so, milliseconds. */
async function inForce(gateway: Gateway, outcome: string): Promise<number> {
  const began = performance.now()
  let seen: unknown
  await until(
    async () => {
      seen = await outcomeOf(gateway)
      return seen === outcome
    },
    () => `outcome ${outcome}; it is ${seen}`,
  )
  return performance.now() - began
}

test('an edit, a new file, its removal, a rename and the swap of a link above them are in force within a second', async () => {
  const at = place({
    'gateway.toml':
      '[[providers]]\nname = "out"\ntype = "log"\n[rules]\ndirectory = "./current/rules"\ndefault_provider = "out"\n',
  })
  // As volumes of containers are: the folder in force is a link, and an update swaps it.
  const version = (n: number, text: string): void => {
    at.write(`v${n}/rules/rules.yaml`, text)
    symlinkSync(`v${n}`, at.path('next'))
    renameSync(at.path('next'), at.path('current'))
  }
  version(1, rule('allow'))
  const gateway = await serve(at)
  expect(await outcomeOf(gateway)).toBe('executed')

  at.write('v1/rules/rules.yaml', rule('deny'))
  expect(await inForce(gateway, 'denied')).toBeLessThan(PROMISED_MS)

  at.write('v1/rules/deeper/first.yaml', 'rules:\n  - { name: first, priority: -1, action: { type: suppress } }\n')
  expect(await inForce(gateway, 'suppressed')).toBeLessThan(PROMISED_MS)
  rmSync(at.path('v1/rules/deeper'), { recursive: true })
  expect(await inForce(gateway, 'denied')).toBeLessThan(PROMISED_MS)

  // As editors save: another file, then a rename over the old one.
  at.write('saved.yaml', rule('allow'))
  renameSync(at.path('saved.yaml'), at.path('v1/rules/rules.yaml'))
  expect(await inForce(gateway, 'executed')).toBeLessThan(PROMISED_MS)

  version(2, rule('suppress'))
  expect(await inForce(gateway, 'suppressed')).toBeLessThan(PROMISED_MS)
  expect(await gateway.stop()).toBe(0)
})

test('a broken edit changes nothing and shows at /health, GET /v1/rules and in the log, with its place; a good one mends it', async () => {
  const at = place({ 'rules/rules.yaml': rule('deny'), 'rules/other.yaml': 'rules: []\n' })
  const gateway = await serve(at)
  const { body: before } = await gateway.ask('GET', '/v1/rules')
  at.write('rules/other.yaml', 'rules:\n  - name: broken\n    action: { type: supress }\n')
  const health = await until(async () => {
    const { body } = await gateway.ask('GET', '/health')
    return body['status'] === 'degraded' ? body : undefined
  }, 'the error at /health')
  const words = /other\.yaml:3:\d+.*supress.*suppress/s
  expect(JSON.stringify(health)).toMatch(words)
  const { body: rules } = await gateway.ask('GET', '/v1/rules')
  expect(rules['error']).toMatch(words)
  expect([rules['version'], rules['rules']]).toEqual([before['version'], before['rules']])
  expect(await outcomeOf(gateway)).toBe('denied')
  await until(() => words.test(gateway.stderr), 'the error in the log')
  // It is still ready: the rules of before are as good as they were.
  expect((await gateway.ask('GET', '/readyz')).status).toBe(200)

  at.write('rules/other.yaml', 'rules:\n  - { name: fine, priority: 50, action: { type: allow } }\n')
  await until(async () => (await gateway.ask('GET', '/health')).body['status'] === 'ok', 'health is mended')
  expect((await gateway.ask('GET', '/v1/rules')).body['error']).toBeUndefined()
  // A directory that is gone, or half of one, is no empty set of rules.
  renameSync(at.path('rules'), at.path('elsewhere'))
  await until(async () => (await gateway.ask('GET', '/health')).body['status'] === 'degraded', 'the loss shows')
  expect(await outcomeOf(gateway)).toBe('denied')
  renameSync(at.path('elsewhere'), at.path('rules'))
  await until(async () => (await gateway.ask('GET', '/health')).body['status'] === 'ok', 'health is mended again')
  expect(await gateway.stop()).toBe(0)
})

test('gateway.toml: providers are taken over while running, what needs a restart is said, a broken edit changes nothing', async () => {
  const hook = await receiver()
  const config = (path: string, more = ''): string =>
    `[[providers]]\nname = "out"\ntype = "webhook"\nurl = "${hook.url}${path}"\n[rules]\ndefault_provider = "out"\n${more}`
  const at = place({ 'gateway.toml': config('/before') })
  const gateway = await serve(at)
  await gateway.dispatch({ action_type: 'note' })
  expect(hook.bodies('/before')).toHaveLength(1)

  at.write('gateway.toml', config('/after', '[[providers]]\nname = "more"\ntype = "log"\n'))
  const began = performance.now()
  await until(
    async () => (await gateway.dispatch({ action_type: 'note', provider: 'more' })).status === 200,
    'the new provider',
  )
  expect(performance.now() - began).toBeLessThan(PROMISED_MS)
  await gateway.dispatch({ action_type: 'note' })
  expect(hook.bodies('/after')).toHaveLength(1)

  at.write('gateway.toml', config('/broken', '[server]\nprot = 8081\n'))
  const words = /gateway\.toml:8:1.*prot.*port/s
  const health = await until(async () => {
    const { body } = await gateway.ask('GET', '/health')
    return body['status'] === 'degraded' ? body : undefined
  }, 'the error at /health')
  expect(String(health['config_error'])).toMatch(words)
  await until(() => words.test(gateway.stderr), 'the error in the log')
  await gateway.dispatch({ action_type: 'note' })
  expect([hook.bodies('/after').length, hook.bodies('/broken').length]).toEqual([2, 0])

  at.write('gateway.toml', config('/after', '[executor]\ndeadline_seconds = 5\n[server]\nbody_limit_bytes = 1000\n'))
  const warned = await until(
    () => gateway.stderr.split('\n').find((l) => l.includes('needs a restart')),
    'the warning about a restart',
  )
  expect((JSON.parse(warned) as JsonObject)['sections']).toEqual(['server', 'executor'])
  const waits = { status: 'warning', restart_needed: ['server', 'executor'] }
  expect((await gateway.ask('GET', '/health')).body).toMatchObject(waits)
  expect((await gateway.dispatch({ action_type: 'note', payload: { text: 'x'.repeat(2000) } })).status).toBe(200)
  // Gone again: what names it is refused at the door, with those there are.
  const gone = await until(async () => {
    const told = await gateway.dispatch({ action_type: 'note', provider: 'more' })
    return told.status === 422 ? told : undefined
  }, 'the provider is gone')
  expect(gone.body['code']).toBe('provider_unknown')
  expect(await gateway.stop()).toBe(0)
})

test('gateway.toml: an edit that takes away a provider rules name is refused whole; the old one serves on, until an edit of the rules agrees', async () => {
  const toml = (...names: string[]): string =>
    `${names.map((n) => `[[providers]]\nname = "${n}"\ntype = "log"\n`).join('')}[rules]\ndefault_provider = "out"\n`
  const at = place({
    'gateway.toml': toml('out', 'other'),
    'rules/rules.yaml': 'rules:\n  - { name: there, action: { type: reroute, target_provider: other } }\n',
  })
  const gateway = await serve(at)
  const provider = async (): Promise<unknown> => (await gateway.dispatch({ action_type: 'note' })).body['provider']
  expect(await provider()).toBe('other')
  at.write('gateway.toml', toml('out'))
  await until(() => /there is no provider \\"other\\"/.test(gateway.stderr), 'the refusal in the log')
  expect(await provider()).toBe('other')
  at.write('rules/rules.yaml', 'rules:\n  - { name: there, action: { type: reroute, target_provider: third } }\n')
  await until(() => /there is no provider \\"third\\"/.test(gateway.stderr), 'the refusal of both in the log')
  at.write('gateway.toml', toml('out', 'third'))
  await until(async () => (await provider()) === 'third', 'both edits in force')
  at.write('gateway.toml', toml('out', 'fourth'))
  await until(async () => (await gateway.ask('GET', '/health')).body['status'] === 'degraded', 'the refusal')
  // Now the rules alone: the configuration that was refused is judged again with them.
  at.write('rules/rules.yaml', 'rules:\n  - { name: there, action: { type: reroute, target_provider: fourth } }\n')
  await until(async () => (await provider()) === 'fourth', 'both edits in force')
  expect((await gateway.ask('GET', '/health')).body).toMatchObject({ status: 'ok' })
  expect(await gateway.stop()).toBe(0)
})

test('one edit brings a provider and a chain that uses it, beside the rule that starts the chain; another takes them away', async () => {
  const at = place()
  const gateway = await serve(at)
  const out = '[[providers]]\nname = "out"\ntype = "log"\n[rules]\ndefault_provider = "out"\n'
  const chain = '[[chains.definitions]]\nname = "c"\nsteps = [{ name = "s", provider = "desk", action_type = "x" }]\n'
  at.write('rules/rules.yaml', rule('chain, chain: c'))
  at.write('gateway.toml', `${out}[[providers]]\nname = "desk"\ntype = "log"\n${chain}`)
  expect(await inForce(gateway, 'chain_started')).toBeLessThan(PROMISED_MS)
  expect((await gateway.ask('GET', '/health')).body).not.toHaveProperty('config_error')

  at.write('rules/rules.yaml', rule('allow'))
  at.write('gateway.toml', out)
  expect(await inForce(gateway, 'executed')).toBeLessThan(PROMISED_MS)
  await until(async () => (await gateway.ask('GET', '/v1/chains/definitions/c')).status === 404, 'the chain to be gone')
  expect(await gateway.stop()).toBe(0)
})
