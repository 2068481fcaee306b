import { expect, test } from 'vitest'
import { serve } from './gateway.ts'
import { place } from './place.ts'
import { until } from './run.ts'

const TOML = '[[providers]]\nname = "out"\ntype = "log"\n\n[rules]\ndefault_provider = "out"\n'
const RULES = `rules:
  - name: few
    condition: { field: action.action_type, eq: note }
    max_executions: { count: 2, window: PT1H }
    action: { type: allow }
  - name: rest
    condition: { field: action.action_type, eq: other }
    action: { type: allow }
`

test('what the gateway switched off is off after it was killed, and after edits, until a hand switches it on', async () => {
  const at = place({ 'gateway.toml': TOML, 'rules/rules.yaml': RULES })
  const first = await serve(at)
  const note = { action_type: 'note' }
  const tags = []
  for (let i = 0; i < 3; i++) tags.push((await first.dispatch(note)).status)
  expect(tags).toEqual([200, 200, 409])
  first.signal('SIGKILL')
  await first.ended

  const gateway = await serve(at)
  expect((await gateway.dispatch(note)).body).toMatchObject({ outcome: 'hot', rule: 'few' })
  expect((await gateway.dispatch({ ...note, tenant: 'another' })).status).toBe(200)
  at.write('rules/rules.yaml', RULES.replace('name: few\n', 'name: few\n    description: edited\n'))
  const view = await until(async () => {
    const { body } = await gateway.ask('GET', '/v1/rules/few')
    return body['description'] === 'edited' ? body : undefined
  }, 'the edit in force')
  expect(view).toMatchObject({ enabled: false, disabled_by: 'system', disable_details: { limit: 'max_executions' } })
  expect((await gateway.dispatch(note)).status).toBe(409)
  const on = await gateway.ask('PUT', '/v1/rules/few/enabled', { enabled: true, namespace: 'default' })
  expect(on.body).toMatchObject({ enabled: true })
  expect((await gateway.dispatch(note)).status).toBe(200)
  expect(await gateway.stop()).toBe(0)
})

test('[hot_rules]: an edit is in force within a second', async () => {
  const at = place({ 'gateway.toml': TOML, 'rules/rules.yaml': RULES })
  const gateway = await serve(at)
  const other = { action_type: 'other' }
  for (let i = 0; i < 5; i++) expect((await gateway.dispatch(other)).body['warnings']).toBeUndefined()
  at.write('gateway.toml', `${TOML}[hot_rules]\nmode = "disable"\nrule_limit.count = 1\n`)
  await until(async () => (await gateway.dispatch(other)).status === 409, 'the new limit')
  const line = 'a rule ran too often and is switched off in this scope'
  await until(() => gateway.stderr.includes(line), 'its line in the log')
  expect(await gateway.stop()).toBe(0)
})
