import { describe, expect, test } from 'vitest'
import { testGateway } from '../fakes/gateway.ts'
import { badRequest, held, OK, serverError, unavailable } from '../fakes/provider.ts'
import { admin, items } from './read.ts'

describe('held work', () => {
  const RULES = `
rules:
  - { name: by-floor, condition: { field: action.action_type, eq: humidity }, action: { type: group, group_by: [payload.floor] } }
  - { name: later, condition: { field: action.action_type, eq: energy }, action: { type: schedule, delay_seconds: 60 } }
`
  test('a group is shown, flushed at once, or dropped, which is audited', async () => {
    const g = await testGateway({ rules: RULES, loops: true })
    const event = { action_type: 'humidity', provider: 'out', payload: { floor: 3 } }
    const { group_id: id } = (await g.dispatch({ ...event, id: 'a' })).body
    expect((await g.ask('GET', '/v1/groups')).body).toMatchObject({
      groups: [{ group_id: id, size: 1 }],
      next_cursor: null,
    })
    expect((await g.ask('GET', `/v1/groups/${id}`)).body).toMatchObject({
      group_id: id,
      labels: { floor: 3 },
    })
    const flushed = await g.ask('POST', `/v1/groups/${id}/flush`)
    expect([flushed.status, flushed.body]).toEqual([202, { group_id: id, flush_ids: [expect.any(String)] }])
    await g.advance(5000)
    expect(g.providers.out!.sent).toHaveLength(1)
    expect((await g.ask('POST', `/v1/groups/${id}/flush`)).status).toBe(404)

    await g.dispatch({ ...event, id: 'b' })
    expect((await g.ask('DELETE', `/v1/groups/${id}`)).status).toBe(204)
    expect((await g.ask('DELETE', `/v1/groups/${id}`)).status).toBe(404)
    expect((await g.records()).at(-1)).toMatchObject({
      outcome: 'discarded',
      caller: 'anonymous',
      details: { action_ids: ['b'] },
    })
    await g.dispatch({ ...event, id: 'c' })
    await g.ask('POST', `/v1/groups/${id}/flush`)
    expect((await g.ask('DELETE', `/v1/groups/${id}`)).body).toMatchObject({ status: 409, code: 'being_released' })
    await g.close()
  })
  test('the audit is asked for what a group has gathered, and for what became of it', async () => {
    const g = await testGateway({ rules: RULES, loops: true })
    const event = { action_type: 'humidity', provider: 'out' }
    const { group_id: id } = (await g.dispatch({ ...event, id: 'a', payload: { floor: 3 } })).body
    await g.dispatch({ ...event, id: 'b', payload: { floor: 3 } })
    await g.dispatch({ ...event, id: 'c', payload: { floor: 4 } })
    await g.dispatch({ ...event, id: 'd', action_type: 'other' })
    await g.advance(31_000)
    const found = async (more: string) =>
      items(await g.ask('GET', `/v1/audit?group_id=${id}${more}`), 'records').map((r) => r.outcome)
    expect(await found('')).toEqual(['executed', 'grouped', 'grouped'])
    const members = items(await g.ask('GET', `/v1/audit?group_id=${id}&outcome=grouped`), 'records')
    expect(members.map((r) => r.action_id)).toEqual(['b', 'a'])
    expect(items(await g.ask('GET', '/v1/audit?group_id=none'), 'records')).toEqual([])
    await g.close()
  })
  test('a scheduled action is shown, cancelled, and past that 409 or 404', async () => {
    const hand = held()
    const g = await testGateway({ rules: RULES, loops: true, providers: { out: [hand.answer] } })
    const hold = async (id: string) =>
      String((await g.dispatch({ id, action_type: 'energy', provider: 'out' })).body.hold_id)
    const first = await hold('a')
    expect((await g.ask('GET', `/v1/scheduled/${first}`)).body).toMatchObject({
      hold_id: first,
      scheduled_for: '2026-01-05T12:01:00.000Z',
    })
    expect(items(await g.ask('GET', '/v1/scheduled'), 'scheduled')).toHaveLength(1)
    expect((await g.ask('DELETE', `/v1/scheduled/${first}`)).status).toBe(204)
    expect((await g.ask('DELETE', `/v1/scheduled/${first}`)).status).toBe(404)
    expect((await g.ask('GET', '/v1/actions/a')).body).toMatchObject({
      status: 'ended',
      records: [{ outcome: 'cancelled' }, {}],
    })
    const second = await hold('b')
    expect((await g.ask('GET', '/v1/actions/b')).body).toMatchObject({ status: 'held', places: [{ hold_id: second }] })
    await g.advance(62_000)
    expect(g.providers.out!.inFlight).toBe(1)
    expect((await g.ask('GET', '/v1/actions/b')).body).toMatchObject({ status: 'delivering' })
    expect((await g.ask('DELETE', `/v1/scheduled/${second}`)).status).toBe(404)
    hand.finish(OK)
    await g.close()
  })
})

describe('held work of the other kinds', () => {
  const RULES = `
rules:
  - { name: twice, condition: { field: action.action_type, eq: twice }, action: { type: copy, target_provider: other } }
  - { name: once, priority: 2, condition: { field: action.action_type, eq: once }, action: { type: deduplicate, ttl_seconds: 600 } }
  - { name: few, priority: 3, condition: { field: action.action_type, eq: few }, action: { type: throttle, max_count: 1, window_seconds: 3600 } }
`
  const listed = async (g: Awaited<ReturnType<typeof testGateway>>, kind: string) =>
    items(await g.ask('GET', `/v1/scheduled?kind=${kind}`), 'scheduled')
  const cancel = (g: Awaited<ReturnType<typeof testGateway>>, kind: string, id: unknown) =>
    g.ask('DELETE', `/v1/scheduled/${String(id)}?kind=${kind}`)

  test('a copy is listed, shown and cancelled under its kind', async () => {
    const g = await testGateway({ rules: RULES, providers: { out: [OK], other: [OK] } })
    const { copies } = (await g.dispatch({ id: 'a', action_type: 'twice', provider: 'out' })).body
    const [copy, ...more] = await listed(g, 'copy')
    expect([copy, more]).toMatchObject([{ parent_id: 'a', rule: 'twice', action: { provider: 'other' } }, []])
    expect([copy?.action_id]).toEqual(copies)
    const id = String(copy?.hold_id)
    expect((await g.ask('GET', `/v1/scheduled/${id}?kind=copy`)).body).toEqual(copy)
    expect((await g.ask('DELETE', `/v1/scheduled/${id}`)).status).toBe(404)
    expect((await cancel(g, 'copy', id)).status).toBe(204)
    expect((await cancel(g, 'copy', id)).body).toMatchObject({ status: 404, detail: expect.stringContaining('copy') })
    expect((await g.records()).at(-1)).toMatchObject({ kind: 'hold', outcome: 'cancelled', parent_id: 'a' })
    expect((await g.ask('GET', '/v1/scheduled?kind=copies')).body).toMatchObject({
      status: 400,
      code: 'invalid_query',
      errors: [{ pointer: '?kind', message: expect.stringContaining('did you mean "copy"') }],
    })
  })
  test('an accepted delivery that was put back is cancelled, and frees its key unless it may have arrived', async () => {
    const hand = held()
    const out = [unavailable(), OK, serverError(), hand.answer]
    const g = await testGateway({
      rules: RULES,
      providers: { out, other: [OK] },
      toml: '[executor]\nmax_retries = 0\n',
    })
    const send = (id: string, headers = {}) =>
      g.ask('POST', '/v1/dispatch', { id, action_type: 'once', provider: 'out', dedup_key: id.slice(0, 1) }, headers)
    const later = { prefer: 'respond-async' }
    expect((await send('a', later)).status).toBe(202)
    await g.advance(100)
    const [put] = await listed(g, 'delivery')
    expect(put).toMatchObject({
      action_id: 'a',
      provider: 'out',
      attempts: 1,
      last_refusal: 'failed',
      action: { id: 'a' },
    })
    expect((await g.ask('GET', `/v1/scheduled/${put?.hold_id}?kind=delivery`)).body).toEqual(put)
    expect((await cancel(g, 'delivery', put?.hold_id)).status).toBe(204)
    expect(await listed(g, 'delivery')).toEqual([])
    expect((await g.records()).at(-1)).toMatchObject({ kind: 'dispatch', action_id: 'a', outcome: 'cancelled' })
    expect((await send('a2')).body).toMatchObject({ outcome: 'executed' })

    await send('b', later)
    await g.advance(100)
    const [unknown] = await listed(g, 'delivery')
    expect((await cancel(g, 'delivery', unknown?.hold_id)).status).toBe(204)
    expect((await send('b2')).body).toMatchObject({ outcome: 'deduplicated', first_outcome: 'cancelled' })

    await send('c', later)
    const [sending] = await listed(g, 'delivery')
    expect(sending).toMatchObject({ action_id: 'c', claimed_until: expect.any(String) })
    expect((await cancel(g, 'delivery', sending?.hold_id)).body).toMatchObject({ status: 409, code: 'being_released' })
    hand.finish(OK)
    await g.advance(100)
    expect(await listed(g, 'delivery')).toEqual([])
  })
  test('a cancelled delivery that somebody took over under its Idempotency-Key leaves the key answered', async () => {
    const out = [serverError(), serverError(), OK]
    const g = await testGateway({
      rules: RULES,
      providers: { out, other: [OK] },
      toml: '[executor]\nmax_retries = 0\n',
    })
    const send = (headers = {}) =>
      g.ask(
        'POST',
        '/v1/dispatch',
        { id: 'a', action_type: 'x', provider: 'out' },
        { 'idempotency-key': 'k', ...headers },
      )
    expect((await send()).body).toMatchObject({ outcome: 'failed', code: 'http_500' })
    // The run may have arrived, so it is gone on with; it fails again, and waits.
    expect((await send({ prefer: 'respond-async' })).status).toBe(202)
    await g.advance(100)
    const [waiting] = await listed(g, 'delivery')
    expect((await cancel(g, 'delivery', waiting?.hold_id)).status).toBe(204)
    const again = await send()
    expect(again.body).toMatchObject({ outcome: 'failed', code: 'cancelled', retryable: false })
    expect(again.headers.get('idempotent-replayed')).toBe('true')
    expect(g.providers.out!.sent).toHaveLength(2)
  })
  test('an occurrence that a limit has put back outlives its recurring action, and can be cancelled', async () => {
    const g = await testGateway({ rules: RULES, loops: true, providers: { out: [OK], other: [OK] } })
    const every = { action_type: 'few', provider: 'out', cron_expression: '* * * * *' }
    expect((await g.ask('PUT', '/v1/recurring/r', every)).status).toBe(201)
    await g.advance(125_000)
    expect((await g.ask('DELETE', '/v1/recurring/r')).status).toBe(204)
    const [waiting, ...more] = await listed(g, 'occurrence')
    expect([waiting, more]).toMatchObject([{ last_refusal: 'throttled' }, []])
    expect((await cancel(g, 'occurrence', waiting?.hold_id)).status).toBe(204)
    expect(await listed(g, 'occurrence')).toEqual([])
    expect((await g.records()).at(-1)).toMatchObject({ kind: 'hold', outcome: 'cancelled' })
    await g.close()
  })
})

describe('chains', () => {
  const TOML =
    '[[chains.definitions]]\nname = "of-file"\nsteps = [{ name = "one", provider = "out", action_type = "x" }, { name = "two", provider = "out", action_type = "x" }]\n'
  const RULES = 'rules: [{ name: start, action: { type: chain, chain: of-file } }]'
  test('executions are listed by status and name, shown with their steps, and cancelled once', async () => {
    const hand = held()
    const g = await testGateway({ rules: RULES, toml: TOML, providers: { out: [hand.answer] } })
    const { chain_id: id } = (await g.dispatch({ id: 'a', action_type: 'x' })).body
    await g.advance(0)
    expect((await g.ask('GET', `/v1/chains/${id}`)).body).toMatchObject({
      chain_id: id,
      steps: [{ name: 'one' }, { name: 'two' }],
    })
    for (const [query, n] of [
      ['', 1],
      ['?status=running', 1],
      ['?status=failed', 0],
      ['?chain_name=of-file', 1],
      ['?chain_name=x', 0],
    ] as const)
      expect(items(await g.ask('GET', `/v1/chains${query}`), 'chains')).toHaveLength(n)
    expect((await g.ask('GET', '/v1/actions/a')).body).toMatchObject({ status: 'in_chain' })
    const cancelled = await g.ask('POST', `/v1/chains/${id}/cancel`)
    expect([cancelled.status, cancelled.body]).toMatchObject([202, { cancel_requested: true }])
    hand.finish(OK)
    await g.advance(1000)
    expect((await g.ask('GET', `/v1/chains/${id}`)).body).toMatchObject({ status: 'cancelled' })
    expect((await g.ask('POST', `/v1/chains/${id}/cancel`)).body).toMatchObject({ status: 409, code: 'chain_ended' })
    expect((await g.ask('POST', '/v1/chains/none/cancel')).status).toBe(404)
  })
  test('versions of a definition are listed, shown and gone back to', async () => {
    const g = await testGateway({ toml: TOML })
    const path = '/v1/chains/definitions/mine'
    const steps = [{ name: 'one', provider: 'out', action_type: 'x' }]
    const first = (await g.ask('PUT', path, { steps })).body
    const second = await g.ask('PUT', path, { steps, timeout_seconds: 5 })
    expect(items(await g.ask('GET', `${path}/versions`), 'versions')).toMatchObject([
      { version: second.body.version, current: true },
      { version: first.version, current: false, updated_by: first.updated_by, updated_at: first.updated_at },
    ])
    const page = (await g.ask('GET', `${path}/versions?limit=1`)).body
    const rest = await g.ask('GET', `${path}/versions?limit=1&cursor=${page.next_cursor}`)
    expect(items(rest, 'versions').map((v) => v.version)).toEqual([first.version])
    expect(rest.body).toMatchObject({ next_cursor: null })
    const shown = await g.ask('GET', `${path}/versions/${first.version}`)
    expect(shown.headers.get('etag')).toBe(`"${first.version}"`)
    expect(shown.body).toMatchObject({ current: false, definition: { name: 'mine', steps } })
    const stale = { 'if-match': `"${first.version}"` }
    expect((await g.ask('POST', `${path}/rollback`, { version: first.version }, stale)).status).toBe(412)
    const back = await g.ask(
      'POST',
      `${path}/rollback`,
      { version: first.version },
      { 'if-match': second.headers.get('etag')! },
    )
    expect([back.status, back.body]).toMatchObject([200, { version: first.version, warnings: [] }])
    expect((await g.ask('GET', path)).body).not.toHaveProperty('definition.timeout_seconds')
    expect((await g.ask('POST', `${path}/rollback`, { version: 'none' })).status).toBe(404)
    expect((await g.ask('POST', `${path}/rollback`, {})).body).toMatchObject({ status: 400, code: 'invalid_rollback' })
    expect((await g.ask('GET', `${path}/versions/none`)).status).toBe(404)
    const missed = await g.ask('GET', '/v1/chains/definitions/min/versions')
    expect(missed.body).toMatchObject({ status: 404, detail: expect.stringContaining('did you mean "mine"') })
  })
  test('executions are summed up by chain', async () => {
    const g = await testGateway({ rules: RULES, toml: TOML, providers: { out: [OK, OK, badRequest()] } })
    const began = g.env.clock.now()
    for (const id of ['a', 'b']) {
      await g.dispatch({ id, action_type: 'x' })
      await g.advance(10_000)
    }
    const summed = {
      chain_name: 'of-file',
      runs: 2,
      by_status: { completed: 1, failed: 1 },
      ended: 2,
      success_rate: 0.5,
      mean_ms: 0,
      p95_ms: 0,
    }
    expect((await g.ask('GET', '/v1/chains/summary')).body).toEqual({
      from: new Date(began + 20_000 - 86_400_000).toISOString(),
      to: new Date(began + 20_000).toISOString(),
      runs: 2,
      truncated: false,
      chains: [summed],
    })
    const first = await g.ask('GET', `/v1/chains/summary?from=${began}&to=${began + 5000}`)
    expect(first.body).toMatchObject({ runs: 1, chains: [{ by_status: { completed: 1 }, success_rate: 1 }] })
    expect((await g.ask('GET', '/v1/chains/summary?namespace=other')).body).toMatchObject({ runs: 0, chains: [] })
    expect((await g.ask('GET', '/v1/chains/summary?from=never')).status).toBe(400)
  })
  test('a definition is shown as a graph, and as Mermaid text', async () => {
    const g = await testGateway({ toml: TOML })
    expect((await g.ask('GET', '/v1/chains/definitions/of-file/dag')).body).toMatchObject({
      name: 'of-file',
      first: ['one'],
      nodes: [{ id: 'one', provider: 'out' }, { id: 'two' }],
      edges: [
        { from: 'one', to: 'two', kind: 'next' },
        { from: 'two', to: null },
      ],
    })
    const drawn = await g.ask('GET', '/v1/chains/definitions/of-file/dag?format=mermaid')
    expect(drawn.headers.get('content-type')).toBe('text/plain; charset=utf-8')
    expect(drawn.text).toMatch(/^flowchart TD\n.*\n {2}n0\["one<br\/>provider: out"\]\n/)
    expect((await g.ask('GET', '/v1/chains/definitions/of-file/dag?format=svg')).status).toBe(400)
    expect((await g.ask('GET', '/v1/chains/definitions/none/dag')).status).toBe(404)
  })
  test('a chain is switched off and on; one named like another address is one too', async () => {
    const g = await testGateway({ toml: TOML, rules: RULES })
    const off = await g.ask('PUT', '/v1/chains/definitions/of-file/enabled', { enabled: false, why: 'floods' })
    expect([off.status, off.body]).toMatchObject([200, { enabled: false, disable_details: { why: 'floods' } }])
    expect((await g.dispatch({ action_type: 'x' })).body).toMatchObject({ outcome: 'failed', code: 'chain_disabled' })
    const stale = { 'if-match': '"of-before"' }
    expect((await g.ask('PUT', '/v1/chains/definitions/of-file/enabled', { enabled: true }, stale)).status).toBe(412)
    const on = await g.ask('PUT', '/v1/chains/definitions/of-file/enabled', { enabled: true })
    expect(on.body).toMatchObject({ enabled: true })
    expect((await g.dispatch({ action_type: 'x' })).body).toMatchObject({ outcome: 'chain_started' })
    expect((await g.ask('PUT', '/v1/chains/definitions/of-fil/enabled', { enabled: true })).status).toBe(404)
    expect((await g.ask('PUT', '/v1/chains/definitions/of-file/enabled', { enabled: 1 })).body).toMatchObject({
      status: 400,
      code: 'invalid_switch',
    })
    for (const name of ['history', 'dag', 'versions', 'enabled', 'a%2Fb']) {
      const path = `/v1/chains/definitions/${name}`
      expect((await g.ask('PUT', path, { steps: [{ name: 'one', provider: 'out', action_type: 'x' }] })).status).toBe(
        201,
      )
      expect((await g.ask('GET', path)).body).toMatchObject({ name: decodeURIComponent(name) })
      expect(items(await g.ask('GET', `${path}/versions`), 'versions')).toHaveLength(1)
    }
  })
  test('of two that create one at once under If-None-Match: * one does', async () => {
    const g = await testGateway()
    const make = (name: string) =>
      g.ask(
        'PUT',
        '/v1/chains/definitions/mine',
        { steps: [{ name, provider: 'out', action_type: 'x' }] },
        { 'if-none-match': '*' },
      )
    const both = await Promise.all([make('one'), make('two')])
    expect(both.map((r) => r.status).sort()).toEqual([201, 412])
    expect((await make('three')).body).toMatchObject({ status: 412, code: 'version_mismatch' })
  })
  test('definitions are made, changed under If-Match, and deleted; the file has the last word on its own', async () => {
    const g = await testGateway({ toml: TOML })
    const path = '/v1/chains/definitions/mine'
    const steps = [{ name: 'one', provider: 'out', action_type: 'x' }]
    const made = await g.ask('PUT', path, { steps })
    expect([made.status, made.body]).toMatchObject([201, { name: 'mine', source: 'api', warnings: [] }])
    const tag = made.headers.get('etag')!
    expect((await g.ask('PUT', path, { steps, timeout_seconds: 5 }, { 'if-match': tag })).status).toBe(200)
    expect((await g.ask('PUT', path, { steps }, { 'if-match': tag })).status).toBe(412)
    expect(items(await g.ask('GET', '/v1/chains/definitions'), 'definitions').map((d) => d.name)).toEqual([
      'mine',
      'of-file',
    ])
    expect((await g.ask('GET', path)).body).toMatchObject({ definition: { timeout_seconds: 5 } })
    expect((await g.ask('PUT', '/v1/chains/definitions/of-file', { steps })).body).toMatchObject({
      status: 409,
      code: 'chain_in_file',
    })
    const wrong = await g.ask('PUT', path, { steps: [{ name: 'one', provider: 'oot', action_type: 'x' }] })
    expect(wrong.body).toMatchObject({ status: 422, code: 'invalid_chain', errors: [{ pointer: '/steps/0/provider' }] })
    await g.ask('PUT', '/v1/chains/definitions/outer', { steps: [{ name: 'inner', sub_chain: 'mine' }] })
    expect((await g.ask('DELETE', path)).body).toMatchObject({ status: 409, code: 'chain_in_use' })
    expect((await g.ask('DELETE', '/v1/chains/definitions/outer')).status).toBe(204)
    expect((await g.ask('DELETE', path)).status).toBe(204)
    expect((await g.ask('GET', path)).body).toMatchObject({ status: 404, code: 'not_found' })
    expect((await admin(g)).map(([, d]) => d)).toMatchObject([
      { name: 'mine' },
      { name: 'mine' },
      { name: 'outer' },
      { deleted: true },
      { deleted: true },
    ])
  })
})
