import { expect, test } from 'vitest'
import { testGateway } from '../fakes/gateway.ts'

const RULES = `
rules:
  - { name: refunds, condition: { field: action.action_type, eq: refund }, action: { type: chain, chain: refund } }
`
const STEPS = { steps: [{ name: 'one', provider: 'out', action_type: 'x' }] }
const PATH = '/v1/chains/definitions/refund'
const OTHER = '  - { name: other, condition: { field: action.action_type, eq: y }, action: { type: suppress } }\n'

test('a gateway starts on a store that lacks a chain its rules start; the rule works once the chain is defined', async () => {
  const g = await testGateway({ rules: RULES })
  expect((await g.ask('GET', '/health')).body).toMatchObject({
    status: 'degraded',
    rules: { missing_chains: ['refund'] },
  })
  expect(g.rules.lastLoad.findings).toMatchObject([
    { severity: 'warning', message: 'there is no chain "refund"; until it is defined the rule cannot start it' },
  ])
  const failed = await g.dispatch({ action_type: 'refund' })
  expect(failed.body).toMatchObject({ outcome: 'failed', code: 'chain_unknown', dead_letter_id: expect.any(String) })
  expect((await g.ask('PUT', PATH, STEPS)).status).toBe(201)
  expect((await g.ask('GET', '/health')).body).toMatchObject({ status: 'ok' })
  expect((await g.dispatch({ action_type: 'refund' })).body).toMatchObject({ outcome: 'chain_started' })
})

test('an edit may leave a rule that lacks its chain already as it is, and brings no other', async () => {
  const g = await testGateway({ rules: RULES })
  g.writeRules(RULES + OTHER)
  expect(await g.rules.reload()).toMatchObject({ ok: true, warnings: [{ severity: 'warning' }] })
  g.writeRules(RULES + OTHER.replace('suppress', 'chain, chain: refnd'))
  expect(await g.rules.reload()).toMatchObject({
    ok: false,
    findings: [
      { severity: 'warning', message: expect.stringContaining('"refund"') },
      { severity: 'error', message: 'there is no chain "refnd"' },
    ],
  })
  expect((await g.dispatch({ action_type: 'y' })).body).toMatchObject({ outcome: 'suppressed' })
})

test('a chain that a rule in force starts is not deleted from under it', async () => {
  const g = await testGateway({ rules: RULES })
  await g.ask('PUT', PATH, STEPS)
  const refused = await g.ask('DELETE', PATH)
  expect(refused.body).toMatchObject({ status: 409, code: 'chain_in_use', detail: 'rule "refunds" starts it' })
  // Switched off it is still one that may be switched on.
  await g.ask('PUT', '/v1/rules/refunds/enabled', { enabled: false })
  expect((await g.ask('DELETE', PATH)).status).toBe(409)
  g.writeRules(`rules:\n${OTHER}`)
  await g.rules.reload()
  expect((await g.ask('DELETE', PATH)).status).toBe(204)
})
