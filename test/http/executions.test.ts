import { describe, expect, test } from 'vitest'
import type { JsonObject } from '../../src/core/json.ts'
import { type GatewayGiven, type TestGateway, testGateway } from '../fakes/gateway.ts'
import { badRequest, held, OK } from '../fakes/provider.ts'
import { chainsToml } from '../fakes/toml.ts'
import { items, problem } from './read.ts'

const step = (name: string, more: JsonObject = {}): JsonObject => ({ name, provider: 'out', action_type: 'x', ...more })
const rules = `
rules:
  - { name: start, condition: { field: action.action_type, starts_with: 'run ' }, action: { type: chain, chain: c } }
`
async function house(steps: readonly JsonObject[], given: GatewayGiven & { readonly chain?: JsonObject } = {}) {
  const { chain = {}, ...more } = given
  const definitions = [
    { name: 'c', ...chain, steps },
    { name: 'inner', steps: [step('in', { payload_template: { secret: '{{prev.body.secret}}' } })] },
  ]
  const g = await testGateway({
    rules,
    providers: { out: [OK] },
    ...more,
    toml: `[audit.redact]\nfields = ["secret"]\n${chainsToml(definitions)}${more.toml ?? ''}`,
  })
  return g
}
async function started(g: TestGateway, payload: JsonObject = {}, id?: string): Promise<string> {
  const told = await g.dispatch({ action_type: 'run it', payload, ...(id !== undefined && { id }) })
  expect(told.status, told.text).toBe(202)
  await g.advance(0)
  return told.body['chain_id'] as string
}
const view = async (g: TestGateway, id: string) => (await g.ask('GET', `/v1/chains/${id}`)).body
const stepIn = (body: JsonObject, name: string) =>
  (body['steps'] as JsonObject[]).findLast((s) => s['name'] === name) ?? {}

describe('an execution', () => {
  test('is shown with every step, its input and output redacted, attempts, times, members, children and what undid it', async () => {
    const g = await house(
      [
        step('first', {
          payload_template: { secret: 'mine', seen: { secret: '{{origin.payload.secret}}' } },
          compensate: { provider: 'undo', action_type: 'undo', payload_template: { secret: '{{result.body.secret}}' } },
        }),
        {
          name: 'both',
          parallel: {
            join: 'any',
            on_failure: 'best_effort',
            branches: [step('a'), { name: 'b', wait: { seconds: 9 } }],
          },
        },
        { name: 'each', for_each: { items: [1, 2], step: step('x', { payload_template: { no: '{{item}}' } }) } },
        { name: 'sub', sub_chain: 'inner' },
        step('fails', { provider: 'bad' }),
        step('never'),
      ],
      {
        providers: {
          out: [{ status: 200, body: { secret: 's3cret', plain: 'yes' } }],
          bad: [badRequest()],
          undo: [OK],
        },
        chain: { lock_by: 'payload.device', attributes: { order: '{{origin.payload.no}}' } },
      },
    )
    const id = await started(g, { secret: 'payload', device: 'd1', no: 7 })
    await g.advance(20_000)
    const body = await view(g, id)
    expect(body).toMatchObject({
      chain_id: id,
      chain_name: 'c',
      status: 'compensated',
      rule: 'start',
      entity: 'd1',
      attributes: { order: '7' },
      priority: 'normal',
      total_steps: 6,
      last_step: 'fails',
      compensated: 1,
      not_compensated: 0,
      error: { code: 'http_400' },
      duration_ms: expect.any(Number),
    })
    expect(JSON.stringify(body)).not.toMatch(/s3cret|mine|"payload"/)
    expect(stepIn(body, 'first')).toMatchObject({
      kind: 'provider',
      provider: 'out',
      iteration: 0,
      status: 'completed',
      attempts: 1,
      started_at: expect.any(String),
      ended_at: expect.any(String),
      duration_ms: expect.any(Number),
      input: { secret: '[REDACTED]', seen: { secret: '[REDACTED]' } },
      output: { success: true, status: 200, body: { secret: '[REDACTED]', plain: 'yes' } },
      compensated: true,
      compensation: { status: 'completed', attempts: 1, input: { secret: '[REDACTED]' }, output: { success: true } },
    })
    expect(stepIn(body, 'both.a')).toMatchObject({ status: 'completed' })
    expect(stepIn(body, 'both.b')).toMatchObject({ kind: 'wait', status: 'completed' })
    expect(stepIn(body, 'each.1')).toMatchObject({ input: { no: 2 }, status: 'completed' })
    const child = stepIn(body, 'sub')['child_chain_id'] as string
    expect(await view(g, child)).toMatchObject({ parent_chain_id: id, parent_step: 'sub', status: 'completed' })
    expect(stepIn(body, 'fails')).toMatchObject({
      status: 'failed',
      output: { success: false, error: { code: 'http_400' } },
      dead_letter_id: expect.any(String),
    })
    expect(stepIn(body, 'never')).toMatchObject({ status: 'skipped' })
    await g.close()
  })

  test('a member that was no longer wanted is dropped, whatever became of the execution', async () => {
    const g = await house([
      { name: 'any', parallel: { join: 'any', branches: [step('a'), { name: 'b', wait: { seconds: 60 } }] } },
    ])
    const body = await view(g, await started(g))
    expect(body).toMatchObject({ status: 'completed' })
    expect(stepIn(body, 'any.b')).toMatchObject({ status: 'dropped' })
    await g.close()
  })

  test('its graph says what has become of each node, and Mermaid colours it', async () => {
    const g = await house(
      [
        step('first'),
        { name: 'each', for_each: { items: [1, 2], max_concurrency: 1, step: step('x', { provider: 'slow' }) } },
        step('last'),
      ],
      { providers: { out: [OK], slow: [OK, held().answer] } },
    )
    const id = await started(g)
    const dag = (await g.ask('GET', `/v1/chains/${id}/dag`)).body
    expect(dag).toMatchObject({ chain_id: id, name: 'c', status: 'running', first: ['first'] })
    expect((dag['nodes'] as JsonObject[]).map((n) => [n['id'], n['status']])).toEqual([
      ['first', 'completed'],
      ['each', 'running'],
      ['each.*', 'running'],
      ['last', 'pending'],
    ])
    const drawn = await g.ask('GET', `/v1/chains/${id}/dag?format=mermaid`)
    expect(drawn.headers.get('content-type')).toContain('text/plain')
    expect(drawn.text).toContain('class n0 completed')
    expect(drawn.text).toContain('class n1,n2 running')
    problem(await g.ask('GET', `/v1/chains/${id}/dag?format=svg`), 400, 'invalid_query')
    problem(await g.ask('GET', '/v1/chains/nothing/dag'), 404, 'not_found')
    await g.close()
  })

  test('what a reset has gone back to before is still to come, group and members too', async () => {
    const h = held()
    const both = {
      name: 'both',
      parallel: { max_concurrency: 1, branches: [step('x', { provider: 'slow' }), step('y')] },
    }
    const g = await house([step('first'), step('next'), both, { name: 'ask', wait_for_signal: { signal: 'go' } }], {
      providers: { out: [OK], slow: [OK, h.answer] },
    })
    const id = await started(g)
    const nodes = async () =>
      ((await g.ask('GET', `/v1/chains/${id}/dag`)).body['nodes'] as JsonObject[]).map((n) => n['status'])
    expect(await nodes()).toEqual([...Array(5).fill('completed'), 'waiting'])
    await g.ask('POST', `/v1/chains/${id}/pause`)
    await g.advance(0)
    expect((await g.ask('POST', `/v1/chains/${id}/reset`, { step: 'first' })).status).toBe(202)
    await g.advance(0)
    expect(await nodes()).toEqual(Array(6).fill('pending'))
    const shown = await view(g, id)
    expect(stepIn(shown, 'next')).toEqual({
      name: 'next',
      kind: 'provider',
      provider: 'out',
      action_type: 'x',
      status: 'pending',
    })
    await g.ask('POST', `/v1/chains/${id}/resume`)
    await g.advance(0)
    expect(await nodes()).toEqual(['completed', 'completed', 'running', 'running', 'pending', 'pending'])
    h.finish(OK)
    await g.advance(0)
    expect(await nodes()).toEqual([...Array(5).fill('completed'), 'waiting'])
    await g.close()
  })

  test('its history comes in pages that leave nothing out and repeat nothing', async () => {
    const g = await house(['a', 'b', 'c', 'd'].map((name) => step(name)))
    const id = await started(g)
    const whole = items(await g.ask('GET', `/v1/chains/${id}/history`), 'history')
    expect(whole.map((e) => e['seq'])).toEqual(whole.map((_, i) => i))
    expect(JSON.stringify(whole[0])).toContain('"type":"started"')
    expect(JSON.stringify(whole.at(-1))).toContain('"type":"ended"')
    const paged: JsonObject[] = []
    for (let cursor: string | undefined = ''; cursor !== undefined; ) {
      const page = await g.ask('GET', `/v1/chains/${id}/history?limit=2${cursor && `&cursor=${cursor}`}`)
      paged.push(...items(page, 'history'))
      cursor = (page.body['next_cursor'] as string | null) ?? undefined
    }
    expect(paged).toEqual(whole)
    const other = await started(g)
    const [page] = [await g.ask('GET', `/v1/chains/${id}/history?limit=2`)]
    const cursor = page.body['next_cursor'] as string
    problem(await g.ask('GET', `/v1/chains/${other}/history?cursor=${cursor}`), 400, 'invalid_cursor')
    problem(await g.ask('GET', '/v1/chains/nothing/history'), 404, 'not_found')
    problem(await g.ask('GET', `/v1/chains/${id}/history?tenant=other`), 404, 'not_found')
    await g.close()
  })

  test('is where its action is, until it has ended, compensating or not', async () => {
    const h = held()
    const undo = { provider: 'undo', action_type: 'undo' }
    const g = await house([step('a', { compensate: undo }), { name: 'ask', wait_for_signal: { signal: 'go' } }], {
      providers: { out: [OK], undo: [h.answer] },
    })
    const id = await started(g, {}, 'order-1')
    const where = async () => (await g.ask('GET', '/v1/actions/order-1')).body
    expect(await where()).toMatchObject({ status: 'in_chain', places: [{ place: 'chain', chain_id: id }] })
    await g.ask('POST', `/v1/chains/${id}/cancel`)
    await g.advance(0)
    expect(await where()).toMatchObject({ status: 'in_chain', places: [{ status: 'compensating' }] })
    h.finish(OK)
    await g.advance(0)
    expect(await where()).toMatchObject({ status: 'ended', places: [{ status: 'compensated' }] })
    await g.close()
  })
})

describe('searching executions', () => {
  test('by status, chain, entity, attribute and time; cursors neither skip nor repeat, whatever is started meanwhile', async () => {
    const g = await house([step('a', { provider: 'picky', on_failure: 'abort' })], {
      providers: { out: [OK], picky: [OK, badRequest(), OK, badRequest(), OK, badRequest(), OK] },
      chain: { lock_by: 'payload.device', attributes: { order: '{{origin.payload.order}}' } },
    })
    const ids: string[] = []
    const times: number[] = []
    for (let i = 0; i < 7; i++) {
      times.push(g.env.clock.now())
      ids.push(await started(g, { device: i % 2 === 0 ? 'even' : 'odd', order: `o:${i % 3}` }))
      await g.advance(1000)
    }
    const found = async (query: string) =>
      items(await g.ask('GET', `/v1/chains?${query}`), 'chains').map((c) => ids.indexOf(c['chain_id'] as string))
    expect(await found('')).toEqual([6, 5, 4, 3, 2, 1, 0])
    expect(await found('status=failed')).toEqual([5, 3, 1])
    expect(await found('status=failed&chain_name=c')).toEqual([5, 3, 1])
    expect(await found('chain_name=inner')).toEqual([])
    expect(await found('entity=even')).toEqual([6, 4, 2, 0])
    expect(await found('entity=even&status=failed')).toEqual([])
    expect(await found('attribute=order:o:1')).toEqual([4, 1])
    expect(await found(`attribute=order:${'x'.repeat(300)}`)).toEqual([])
    const at = (i: number) => encodeURIComponent(new Date(times[i]!).toISOString())
    expect(await found(`from=${at(2)}&to=${at(4)}`)).toEqual([4, 3, 2])
    expect(await found(`status=completed&from=${at(2)}&to=${at(4)}`)).toEqual([4, 2])
    expect(await found(`to=${at(0)}`)).toEqual([0])
    for (const filter of ['', 'status=completed&', 'entity=odd&status=failed&']) {
      const whole = await found(filter)
      const paged: number[] = []
      for (let cursor: string | undefined = ''; cursor !== undefined; ) {
        const page = await g.ask('GET', `/v1/chains?${filter}limit=2${cursor && `&cursor=${cursor}`}`)
        paged.push(...items(page, 'chains').map((c) => ids.indexOf(c['chain_id'] as string)))
        cursor = (page.body['next_cursor'] as string | null) ?? undefined
        await started(g, { device: 'new' })
        await g.advance(1)
      }
      expect(paged).toEqual(whole)
      ids.push(...items(await g.ask('GET', '/v1/chains?entity=new'), 'chains').map((c) => c['chain_id'] as string))
    }
    await g.close()
  })

  test('of an action that was held they are at the time they began, not at that of its admission', async () => {
    const later =
      "  - { name: hold, priority: -1, condition: { field: action.metadata.later, eq: 'yes' }, action: { type: schedule, delay_seconds: 60 } }\n"
    const g = await house([step('a')], { rules: `${rules}${later}`, loops: true })
    const dispatched = { action_type: 'run it', payload: {}, metadata: { later: 'yes' } }
    expect((await g.dispatch(dispatched)).body).toMatchObject({ outcome: 'scheduled' })
    await g.advance(10_000)
    const first = await started(g)
    await g.advance(1000)
    const from = encodeURIComponent(new Date(g.env.clock.now()).toISOString())
    await g.advance(60_000)
    const all = items(await g.ask('GET', '/v1/chains'), 'chains')
    expect(all).toHaveLength(2)
    expect(all[1]).toMatchObject({ chain_id: first })
    expect(items(await g.ask('GET', `/v1/chains?from=${from}`), 'chains')).toEqual(all.slice(0, 1))
    expect((await g.ask('GET', `/v1/chains/summary?from=${from}`)).body).toMatchObject({ runs: 1 })
    await g.close()
  })

  test('refuses what it does not know', async () => {
    const g = await house([step('a')])
    for (const query of ['status=done', 'attribute=order', 'from=yesterday', 'limit=0', 'name=c'])
      problem(await g.ask('GET', `/v1/chains?${query}`), 400, 'invalid_query')
    problem(await g.ask('GET', '/v1/chains?cursor=x'), 400, 'invalid_cursor')
    problem(await g.ask('GET', '/v1/chains/nothing'), 404, 'not_found')
    // Another scope's is not there.
    const id = await started(g)
    problem(await g.ask('GET', `/v1/chains/${id}?tenant=other`), 404, 'not_found')
    await g.close()
  })
})
