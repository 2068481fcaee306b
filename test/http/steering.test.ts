import { describe, expect, test } from 'vitest'
import type { JsonObject } from '../../src/core/json.ts'
import { testGateway } from '../fakes/gateway.ts'
import { badRequest, held, OK } from '../fakes/provider.ts'
import { chainsToml } from '../fakes/toml.ts'
import { items, problem } from './read.ts'

const step = (name: string, provider = 'out', more: JsonObject = {}): JsonObject => ({
  name,
  provider,
  action_type: 'x',
  ...more,
})
const ask: JsonObject = { name: 'ask', wait_for_signal: { signal: 'go' } }
const undo = { provider: 'out', action_type: 'undo' }
const definitions: readonly JsonObject[] = [
  { name: 'asks', steps: [step('one'), ask, step('last')] },
  { name: 'fails', steps: [step('one'), step('bad', 'bad'), step('last')] },
  { name: 'undoes', steps: [step('one', 'out', { compensate: undo }), step('bad', 'worse')] },
  { name: 'slow', steps: [step('one', 'slow'), step('last')] },
  { name: 'parent', steps: [{ name: 'sub', sub_chain: 'child', default_next: 'last' }, step('last')] },
  { name: 'child', steps: [step('bad', 'worse')] },
]
const rules = `rules:\n${definitions
  .map(
    ({ name }) =>
      `  - { name: ${name}, condition: { field: action.action_type, eq: ${name} }, action: { type: chain, chain: ${name} } }`,
  )
  .join('\n')}\n`

async function house() {
  const h = held()
  const g = await testGateway({
    rules,
    providers: { out: [OK], bad: [badRequest(), OK], worse: [badRequest()], slow: [h.answer, OK] },
    toml: `[audit.redact]\nfields = ["secret"]\n${chainsToml(definitions)}`,
  })
  const start = async (chain: string): Promise<string> => {
    const told = await g.dispatch({ action_type: chain, payload: {} })
    await g.advance(0)
    return told.body['chain_id'] as string
  }
  const post = async (id: string, what: string, body?: unknown) => {
    const told = await g.ask('POST', `/v1/chains/${id}/${what}`, body)
    await g.advance(0)
    return told
  }
  const status = async (id: string) => (await g.ask('GET', `/v1/chains/${id}`)).body['status']
  return { g, h, start, post, status }
}

describe('steering executions by HTTP', () => {
  test('each operation answers 202 with what was asked, and is acted on', async () => {
    const { g, start, post, status } = await house()
    const asks = await start('asks')
    const about = { chain_id: asks, chain_name: 'asks', status: 'waiting' }
    expect(await post(asks, 'pause')).toMatchObject({ status: 202, body: { ...about, pause_requested: true } })
    expect(await post(asks, 'resume')).toMatchObject({ status: 202, body: { ...about, resume_requested: true } })
    expect(await post(asks, 'signal', { signal: 'go', payload: { ok: true } })).toMatchObject({
      status: 202,
      body: { ...about, signal: 'go', accepted: true },
    })
    expect(await status(asks)).toBe('completed')
    expect(await post(asks, 'reset', { step: 'ask' })).toMatchObject({
      status: 202,
      body: { chain_id: asks, chain_name: 'asks', reset_to: 'ask', steps: ['ask', 'last'] },
    })
    expect(await post(asks, 'cancel')).toMatchObject({ status: 202, body: { cancel_requested: true } })
    expect(await status(asks)).toBe('cancelled')
    const fails = await start('fails')
    expect(await post(fails, 'retry')).toMatchObject({ status: 202, body: { retried: ['bad'] } })
    expect(await status(fails)).toBe('completed')
    // Who asked is in what is kept.
    const { text } = await g.ask('GET', `/v1/chains/${asks}/history`)
    for (const event of ['paused', 'unpaused', 'signalled', 'reopened']) expect(text).toContain(`"type":"${event}"`)
    expect(text).toContain('"by":"anonymous"')
    await g.close()
  })

  test('what cannot be done says why', async () => {
    const { g, h, start, post } = await house()
    const asks = await start('asks')
    for (const what of ['cancel', 'pause', 'resume', 'retry']) {
      problem(await post('nothing', what), 404, 'not_found')
      problem(await post(asks, what, { why: 'not' }), 400, 'unexpected_body')
    }
    problem(await post('nothing', 'signal', { signal: 'go' }), 404, 'not_found')
    problem(await post('nothing', 'reset', { step: 'one' }), 404, 'not_found')
    problem(await post(asks, 'resume'), 409, 'chain_not_paused')
    problem(await post(asks, 'retry'), 409, 'chain_running')
    problem(await post(asks, 'reset', { step: 'one' }), 409, 'chain_running')
    await post(asks, 'pause')
    problem(await post(asks, 'pause'), 409, 'chain_paused')
    await post(asks, 'cancel')
    for (const what of ['cancel', 'pause', 'resume']) problem(await post(asks, what), 409, 'chain_ended')
    problem(await post(asks, 'signal', { signal: 'go' }), 409, 'chain_ended')
    problem(await post(asks, 'retry'), 409, 'chain_not_failed')
    problem(await post(asks, 'reset', { step: 'two' }), 422, 'unknown_step', {
      errors: [{ pointer: '/step', message: 'one of one, ask, last' }],
    })
    problem(await post(asks, 'reset', { step: 'last' }), 409, 'step_not_taken')

    const undoes = await start('undoes')
    for (const what of ['retry', 'reset'])
      problem(await post(undoes, what, what === 'reset' ? { step: 'one' } : undefined), 409, 'chain_compensated')

    const slow = await start('slow')
    await post(slow, 'cancel')
    problem(await post(slow, 'pause'), 409, 'chain_ending')
    h.finish(OK)
    await g.advance(0)

    await start('parent')
    const [child] = items(await g.ask('GET', '/v1/chains?chain_name=child'), 'chains')
    problem(await post(child!['chain_id'] as string, 'retry'), 409, 'chain_moved_on')
    const letters = items(await g.ask('GET', '/v1/dlq'), 'dead_letters')
    const letter = letters.find((l) => (l['origin'] as JsonObject)['chain_id'] === child!['chain_id'])
    problem(await g.ask('POST', `/v1/dlq/${letter!['id']}/redrive`), 409, 'chain_moved_on')
    await g.close()
  })

  test('a body that is wrong is refused with the place', async () => {
    const { g, start, post } = await house()
    const id = await start('asks')
    const refused = async (what: string, body: unknown, pointer: string) =>
      problem(await post(id, what, body), 400, 'invalid_request', { errors: [expect.objectContaining({ pointer })] })
    await refused('signal', {}, '/signal')
    await refused('signal', { signal: '' }, '/signal')
    await refused('signal', { signal: 'x'.repeat(129) }, '/signal')
    await refused('signal', { signal: 7 }, '/signal')
    await refused('signal', { signal: 'go', name: 'go' }, '/name')
    await refused('signal', [], '')
    await refused('reset', {}, '/step')
    await refused('reset', { step: null }, '/step')
    await refused('reset', { step: 'one', by: 'me' }, '/by')
    problem(await post(id, 'signal', '{"signal":'), 400, 'invalid_json')
    problem(await post(id, 'signal', { signal: 'go', payload: { secret: '[REDACTED]' } }), 422, 'placeholder_in_body')
    // A payload may be anything, and left out it is null.
    await post(id, 'signal', { signal: 'go', payload: 'just text' })
    const body = (await g.ask('GET', `/v1/chains/${id}`)).body
    expect((body['steps'] as JsonObject[])[1]).toMatchObject({ output: { body: { payload: 'just text' } } })
    await g.close()
  })

  test('the redrive of a step is the retry of its execution, whose other letters go with it', async () => {
    const { g, start, status } = await house()
    const id = await start('fails')
    const [letter] = items(await g.ask('GET', '/v1/dlq'), 'dead_letters')
    expect(letter).toMatchObject({ origin: { kind: 'chain_step', chain_id: id, step: 'bad' } })
    const told = await g.ask('POST', `/v1/dlq/${letter!['id']}/redrive`)
    expect([told.status, told.body]).toEqual([
      expect.any(Number),
      expect.objectContaining({ resumed: { chain_id: id, step: 'bad' } }),
    ])
    await g.advance(0)
    expect(await status(id)).toBe('completed')
    expect(items(await g.ask('GET', '/v1/dlq'), 'dead_letters')).toEqual([])
    problem(await g.ask('POST', `/v1/dlq/${letter!['id']}/redrive`), 404, 'not_found')
    await g.close()
  })
})
