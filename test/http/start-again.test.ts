import { expect, test } from 'vitest'
import { carrying, left } from '../dispatch/loop-world.ts'
import { testGateway } from '../fakes/gateway.ts'

const RULES = `
rules:
  - { name: refunds, condition: { field: action.action_type, eq: refund }, action: { type: chain, chain: refund } }
`
const STEPS = { steps: [{ name: 'one', provider: 'out', action_type: 'x' }] }
const PATH = '/v1/chains/definitions/refund'

test('a dead letter of a chain that was switched off starts it, once', async () => {
  const g = await testGateway({ rules: RULES, providers: { out: carrying('out') } })
  await g.ask('PUT', PATH, STEPS)
  await g.ask('PUT', `${PATH}/enabled`, { enabled: false })
  const failed = await g.dispatch({ id: 'a', action_type: 'refund', payload: { n: 1 } })
  const { dead_letter_id: id, run_id } = failed.body as { dead_letter_id: string; run_id: string }
  const letter = `/v1/dlq/${id}`
  expect((await g.ask('GET', letter)).body).toMatchObject({ starts: { chain: 'refund', rule: 'refunds' } })
  expect((await g.ask('POST', `${letter}/redrive`)).body).toMatchObject({ status: 409, code: 'chain_disabled' })
  expect((await g.ask('GET', letter)).status).toBe(200)

  await g.ask('PUT', `${PATH}/enabled`, { enabled: true })
  const [one, two] = await Promise.all([g.ask('POST', `${letter}/redrive`), g.ask('POST', `${letter}/redrive`)])
  const [done, other] = one.status === 202 ? [one, two] : [two, one]
  expect([done.status, done.body]).toMatchObject([
    202,
    { redriven: id, outcome: 'chain_started', action_id: 'a', run_id, rule: 'refunds', chain_name: 'refund' },
  ])
  expect(other.body).toMatchObject({ status: 409, code: 'being_redriven' })
  expect((await g.ask('GET', letter)).status).toBe(404)
  expect((await g.ask('POST', `${letter}/redrive`)).status).toBe(404)

  await g.advance(1000)
  expect(g.providers.out!.sent).toMatchObject([{ request: { payload: { n: 1 } } }])
  // PITFALLS 60: what comes back of it is known by what it has passed.
  const { lineage } = left(g.providers.out!.sent[0])
  expect(g.signer.read(lineage)).toEqual({ origin: run_id, passed: ['rule:refunds', 'chain:refund'], hops: 0 })
  expect((await g.ask('GET', '/v1/chains')).body).toMatchObject({
    chains: [{ chain_id: done.body.chain_id, status: 'completed', action_id: 'a', rule: 'refunds' }],
  })
  const records = await g.records()
  expect(records.map((r) => r.kind).toSorted()).toEqual(['chain', 'chain_step', 'dispatch', 'redrive'])
  expect(records.find((r) => r.kind === 'redrive')).toMatchObject({
    outcome: 'chain_started',
    run_id,
    rule: 'refunds',
    chain_id: done.body.chain_id,
  })
})

test('letters of a chain that was not there start it when it is, all at once too', async () => {
  const g = await testGateway({ rules: RULES })
  for (const id of ['a', 'b']) await g.dispatch({ id, action_type: 'refund' })
  const all = () => g.ask('POST', '/v1/dlq/redrive', { code: 'chain_unknown', include_told: true })
  expect((await all()).body).toMatchObject({
    redriven: [],
    skipped: [{ code: 'chain_unknown' }, { code: 'chain_unknown' }],
  })
  await g.ask('PUT', PATH, STEPS)
  expect((await all()).body).toMatchObject({
    redriven: [
      { outcome: 'chain_started', action_id: 'b' },
      { outcome: 'chain_started', action_id: 'a' },
    ],
    skipped: [],
  })
  await g.advance(1000)
  expect(g.providers.out!.sent).toHaveLength(2)
})
