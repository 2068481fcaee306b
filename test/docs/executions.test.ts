import { expect, it, onTestFinished } from 'vitest'
import { runStatuses } from '../../src/chains/model/run.ts'
import { stepKinds } from '../../src/chains/steps/index.ts'
import type { JsonObject } from '../../src/core/json.ts'
import { testGateway } from '../fakes/gateway.ts'
import { badRequest, held, OK, unavailable } from '../fakes/provider.ts'
import { codes, table } from './markdown.ts'

/** What docs/api.md says of executions and their steps, against real ones. */

const page = 'docs/api.md'
const heading = 'An execution'
const rows = (head: string) =>
  table(page, heading, head).map(([field = '', says = '']) => ({ field: codes(field)[0]!, says }))

const TOML = `
[executor]
max_retries = 0

[[chains.definitions]]
name = "trip"
lock_by = "payload.who"
attributes = { who = "{{origin.payload.who}}" }
steps = [
  { name = "book", parallel = { branches = [
    { name = "flight", provider = "out", action_type = "book", payload_template = { x = "{{origin.payload.nowhere}}" }, compensate = { provider = "out", action_type = "cancel" } },
    { name = "hotel", provider = "out", action_type = "book", compensate = { provider = "gone", action_type = "cancel", retry = { max_attempts = 1 } } },
  ] } },
  { name = "agreed", wait_for_signal = { signal = "agreed", timeout_seconds = 86400 } },
]

[[chains.definitions]]
name = "fails"
steps = [{ name = "let", provider = "bad", action_type = "x", allow_failure = true }, { name = "one", provider = "bad", action_type = "x" }]

[[chains.definitions]]
name = "above"
steps = [{ name = "below", sub_chain = "naps" }]

[[chains.definitions]]
name = "naps"
max_concurrent = 1
steps = [{ name = "nap", wait = { seconds = 5 } }]

[[chains.definitions]]
name = "kids"
steps = [{ name = "both", parallel = { branches = [{ name = "a", sub_chain = "naps" }, { name = "b", wait = { seconds = 9 } }] } }]

[[chains.definitions]]
name = "again"
steps = [{ name = "busy", provider = "busy", action_type = "x", retry = { max_attempts = 3, backoff = "fixed", initial_ms = 60000 } }]

[[chains.definitions]]
name = "cached"
steps = [{ name = "look", provider = "out", action_type = "look", cache_ttl_seconds = 60 }]
`
const RULES = `
rules:
${['trip', 'fails', 'above', 'naps', 'kids', 'again', 'cached']
  .map(
    (c) =>
      `  - { name: ${c}, condition: { field: action.action_type, eq: ${c} }, action: { type: chain, chain: ${c} } }`,
  )
  .join('\n')}
`

it('has no field that is not in the tables, and every row was seen', async () => {
  const hand = held()
  const g = await testGateway({
    rules: RULES,
    toml: TOML,
    loops: true,
    providers: { out: [OK], bad: [badRequest()], busy: [unavailable()], gone: [hand.answer] },
  })
  onTestFinished(() => g.close())
  const [runs, steps] = [new Set<string>(), new Set<string>()]
  const undoings = new Set<string>()
  const outputs = new Set<string>()
  const add = (to: Set<string>, of: object) => {
    for (const key of Object.keys(of)) to.add(key)
  }
  const look = async (): Promise<readonly JsonObject[]> => {
    const { chains } = (await g.ask('GET', '/v1/chains')).body as { chains: readonly JsonObject[] }
    for (const { chain_id: id } of chains) {
      const { body } = await g.ask('GET', `/v1/chains/${String(id)}`)
      add(runs, body)
      for (const step of body['steps'] as readonly JsonObject[]) {
        add(steps, step)
        if (step['compensation']) add(undoings, step['compensation'] as JsonObject)
        if (step['output']) add(outputs, step['output'] as JsonObject)
      }
    }
    return chains
  }
  const start = async (chain: string) =>
    String((await g.dispatch({ action_type: chain, payload: { who: 'ann' } })).body['chain_id'])

  const trip = await start('trip')
  await start('trip') // waits for its lock
  for (const chain of ['fails', 'above', 'kids', 'again', 'cached']) await start(chain)
  await g.advance(100)
  await look()
  await start('cached')
  await start('naps')
  await start('naps')
  await g.ask('POST', `/v1/chains/${trip}/pause`)
  await g.advance(0)
  await look()
  await g.ask('POST', `/v1/chains/${trip}/cancel`)
  await g.advance(0)
  await look()
  hand.finish(badRequest())
  for (let i = 0; i < 20; i++) {
    await g.advance(i < 10 ? 0 : 1000)
    await look()
  }
  const failed = (await look()).find((c) => c['chain_name'] === 'fails')
  await g.ask('POST', `/v1/chains/${String(failed?.['chain_id'])}/retry`)
  await g.advance(1000)
  await look()

  expect([...runs].toSorted()).toEqual(
    rows('Field of an execution')
      .map((r) => r.field)
      .toSorted(),
  )
  expect([...steps].toSorted()).toEqual(
    rows('Field of a step')
      .map((r) => r.field)
      .toSorted(),
  )
  const says = (field: string) => rows('Field of a step').find((r) => r.field === field)!.says
  for (const key of undoings) expect(says('compensation')).toContain(key)
  for (const key of outputs) expect(says('output')).toContain(key)
})

it('has the statuses and kinds there are', () => {
  const status = rows('Field of an execution').find((r) => r.field === 'status')!
  expect(codes(status.says).toSorted()).toEqual([...runStatuses].toSorted())
  const kind = rows('Field of a step').find((r) => r.field === 'kind')!
  expect(codes(kind.says).toSorted()).toEqual(
    Object.values(stepKinds)
      .map((k) => k.kind)
      .toSorted(),
  )
})
