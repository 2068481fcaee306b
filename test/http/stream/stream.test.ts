import { describe, expect, test } from 'vitest'
import { type AuditRecord, auditRow } from '../../../src/core/audit.ts'
import { StateUnavailable } from '../../../src/core/errors.ts'
import { type GatewayGiven, type TestGateway, testGateway } from '../../fakes/gateway.ts'
import { OK, refused } from '../../fakes/provider.ts'
import { problem } from '../read.ts'
import { type Event, eventReader, recordOf } from './sse.ts'

/** A client without a socket: it takes what there is when it is told to, and nothing else. */
async function client(g: TestGateway, query = '', headers: Record<string, string> = {}) {
  const response = await g.app.request(`/v1/stream${query}`, { headers })
  expect(response.status, await (response.ok ? '' : response.text())).toBe(200)
  const reader = response.body!.getReader()
  const sse = eventReader()
  let pending: ReturnType<typeof reader.read> | undefined
  let over = false
  return {
    response,
    sse,
    get over() {
      return over
    },
    /** What comes within so long of the gateway's time. */
    async take(ms = 100): Promise<Event[]> {
      const events: Event[] = []
      for (let waited = false; !over; ) {
        pending ??= reader.read()
        const got = await Promise.race([pending, g.env.clock.settle().then(() => undefined)])
        if (got === undefined) {
          if (waited) break
          waited = true
          await g.advance(ms)
          continue
        }
        pending = undefined
        if (got.done) over = true
        else events.push(...sse.take(got.value))
      }
      return events
    },
    leave: () => reader.cancel(),
  }
}
const actions = (events: readonly Event[]) => events.map((e) => recordOf(e).action_id)
const send = (g: TestGateway, id: string, more: object = {}) =>
  g.dispatch({ id, action_type: 'x', provider: 'out', ...more })
const started = async (given: GatewayGiven = {}): Promise<TestGateway> => testGateway(given)

describe('GET /v1/stream', () => {
  test('shows what is recorded from now on, as the audit has it, with ids that move on', async () => {
    const g = await started()
    await send(g, 'before')
    const c = await client(g)
    expect(c.response.headers.get('content-type')).toBe('text/event-stream')
    expect(c.response.headers.get('cache-control')).toBe('no-store')
    expect(await c.take()).toEqual([])
    expect(c.sse.retry).toBe(1000)
    const begun = c.sse.lastId
    expect(begun).not.toBe('')
    await send(g, 'a')
    await send(g, 'b')
    const events = await c.take()
    expect(actions(events)).toEqual(['a', 'b'])
    const { records } = (await g.ask('GET', '/v1/audit?limit=2')).body as { records: object[] }
    expect(events.map(recordOf).reverse()).toEqual(records)
    expect(new Set([begun, ...events.map((e) => e.id)]).size).toBe(3)
    await c.leave()
  })
  test('resumes after an id without a gap or a repetition, by header or in the address; the header knows more', async () => {
    const g = await started()
    const first = await client(g)
    await first.take()
    for (const id of ['a', 'b', 'c']) await send(g, id)
    const seen = await first.take()
    await first.leave()
    await send(g, 'd')
    const from = async (query: string, headers = {}) => {
      const c = await client(g, query, headers)
      const events = actions(await c.take())
      await c.leave()
      return events
    }
    expect(await from('', { 'last-event-id': seen[0]!.id })).toEqual(['b', 'c', 'd'])
    expect(await from(`?after=${seen[1]!.id}`)).toEqual(['c', 'd'])
    expect(await from(`?after=${seen[0]!.id}`, { 'last-event-id': seen[2]!.id })).toEqual(['d'])
    expect(await from(`?after=${first.sse.lastId}`)).toEqual(['d'])
    expect(await from('?after=')).toEqual([])
  })
  test('PITFALLS 16: one scope, default if none is named; all of them where that is asked for; breakers are in each', async () => {
    const toml = '[executor]\nmax_retries = 0\n[circuit_breaker]\nfailure_threshold = 1\n'
    const g = await started({ toml, providers: { out: [OK], ill: [refused()] } })
    const [one, other, awkward, all, admin] = [
      await client(g),
      await client(g, '?namespace=iot&tenant=hq'),
      await client(g, '?namespace=%25&tenant=_'),
      await client(g, '?all_scopes=true'),
      await client(g, '?namespace=&tenant='),
    ]
    await send(g, 'a')
    await send(g, 'b', { namespace: 'iot', tenant: 'hq' })
    await send(g, 'c', { namespace: '%', tenant: '_' })
    await send(g, 'd', { provider: 'ill', tenant: 'hq' })
    await g.ask('PUT', '/v1/quotas/q', { max_actions: 5, window: 60 })
    const seen = async (c: Awaited<ReturnType<typeof client>>) =>
      (await c.take()).map((e) => {
        const r = recordOf(e)
        return r.namespace === '' ? `${r.action_type} ${r.outcome}` : r.action_id
      })
    const [trip, quota] = ['circuit_breaker opened', 'quota created changed']
    expect(await seen(one)).toEqual(['a', trip])
    expect(await seen(other)).toEqual(['b', trip])
    expect(await seen(awkward)).toEqual(['c', trip])
    expect(await seen(all)).toEqual(['a', 'b', 'c', trip, 'd', quota])
    expect(await seen(admin)).toEqual([trip, quota])
  })
  test('is filtered as the audit is: by outcome, by provider, either way, and by kind', async () => {
    const toml = '[executor]\nmax_retries = 0\n'
    const rules =
      'rules: [{ name: away, condition: { field: action.action_type, eq: y }, action: { type: reroute, target_provider: other } }]'
    const g = await started({ toml, rules, providers: { out: [OK], other: [OK], ill: [refused()] } })
    const seen: { [query: string]: string[] } = {}
    const queries = [
      'outcome=failed',
      'provider=out',
      'provider=other',
      'kind=chain',
      'rule=away',
      'action_type=y&provider=out',
    ]
    const clients = await Promise.all(queries.map((q) => client(g, `?${q}`)))
    await send(g, 'plain')
    await send(g, 'away', { action_type: 'y' })
    await send(g, 'ill', { provider: 'ill' })
    for (const [i, q] of queries.entries()) seen[q] = actions(await clients[i]!.take())
    expect(seen).toEqual({
      'outcome=failed': ['ill'],
      'provider=out': ['plain', 'away'],
      'provider=other': ['away'],
      'kind=chain': [],
      'rule=away': ['away'],
      'action_type=y&provider=out': ['away'],
    })
    // What was not for it lies behind it all the same.
    await clients[3]!.take(15_000)
    await send(g, 'later')
    expect(await (await client(g, '', { 'last-event-id': clients[3]!.sse.lastId })).take()).toHaveLength(1)
  })
  test('chains show their steps, groups their flushes, and what a person may not read is not in it', async () => {
    const rules = [
      'rules:',
      '  - { name: grouped, condition: { field: action.action_type, eq: g }, action: { type: group, group_by: [payload.zone], group_wait_seconds: 1 } }',
      '  - { name: chained, condition: { field: action.action_type, eq: c }, action: { type: chain, chain: two } }',
    ].join('\n')
    const chains =
      '[[chains.definitions]]\nname = "two"\nsteps = [ { name = "s", provider = "out", action_type = "x", payload_template = { } } ]\n'
    const g = await started({ rules, toml: `[audit.redact]\nfields = ["secret"]\n${chains}`, loops: true })
    const c = await client(g)
    await c.take()
    await send(g, 'g', { action_type: 'g', payload: { zone: 'z', secret: 'hush' } })
    await send(g, 'c', { action_type: 'c', payload: { secret: 'hush' } })
    const records = (await c.take(5000)).map(recordOf)
    expect(records.map((r) => r.kind)).toEqual(expect.arrayContaining(['dispatch', 'flush', 'chain_step', 'chain']))
    expect(JSON.stringify(records)).not.toContain('hush')
    expect(JSON.stringify(records)).toContain('[REDACTED]')
    await g.close()
  })
  test('what another node records is shown within a second', async () => {
    const g = await started()
    await send(g, 'model')
    const [model] = (await g.records()) as unknown as AuditRecord[]
    const c = await client(g)
    await c.take()
    const row = auditRow({ ...model!, id: g.env.newId(), action_id: 'theirs' })
    // Past the wrapper by which this node learns of its own.
    await g.memory.state.commit(['default', 'default'], [{ op: 'record', row }])
    expect(actions(await c.take(1000))).toEqual(['theirs'])
    await c.leave()
  })
  test('heartbeats come when nothing else does', async () => {
    const g = await started()
    const c = await client(g)
    await c.take()
    const { comments } = c.sse
    expect(await c.take(14_000)).toEqual([])
    expect(c.sse.comments).toBe(comments)
    expect(await c.take(2000)).toEqual([])
    expect(c.sse.comments).toBe(comments + 1)
    await send(g, 'a')
    expect(actions(await c.take())).toEqual(['a'])
  })
  test('an id that is no position of this trail is told, and it goes on from now', async () => {
    const g = await started()
    await send(g, 'before')
    const c = await client(g, '', { 'last-event-id': 'nonsense' })
    const [missed] = await c.take()
    expect(missed!.event).toBe('missed')
    expect(JSON.parse(missed!.data)).toEqual({ reason: 'unknown_position', after: 'nonsense', until: missed!.id })
    await send(g, 'a')
    expect(actions(await c.take())).toEqual(['a'])
  })
  test('what retention has deleted unread is told once, to those of that scope, and the rest is shown', async () => {
    const g = await started()
    const c = await client(g)
    await c.take()
    const begun = c.sse.lastId
    await c.leave()
    for (const id of ['a', 'b']) await send(g, id)
    await g.advance(1000)
    const before = g.env.clock.now()
    for (const id of ['c', 'd']) await send(g, id)
    await send(g, 'e', { tenant: 'other' })
    expect(await g.audit.purge(['default', 'default'], before, 100)).toBe(2)
    const back = await client(g, '', { 'last-event-id': begun })
    const [missed, ...rest] = await back.take()
    expect(JSON.parse(missed!.data)).toEqual({ reason: 'purged', after: begun, until: expect.any(String) })
    // Until the rest has been read too, a client that is cut off has to come back to here.
    expect(missed!.id).toBe('')
    expect(actions(rest)).toEqual(['c', 'd'])
    const other = await client(g, '?tenant=other', { 'last-event-id': begun })
    expect(actions(await other.take())).toEqual(['e'])
    await g.advance(1000)
    expect(await g.audit.purge(['default', 'default'], g.env.clock.now(), 100)).toBe(2)
    expect(await back.take(1000)).toEqual([])
  })
  test('nothing is read from the store where nobody follows, and followers share what is read', async () => {
    let looks = 0
    const g = await started()
    const follow = g.memory.rows.follow
    const counted: typeof follow = (f) => {
      looks++
      return follow(f)
    }
    Object.assign(g.audit, { follow: counted })
    for (let i = 0; i < 20; i++) await send(g, `a${i}`)
    await g.advance(10_000)
    expect(looks).toBe(0)
    const clients = await Promise.all(Array.from({ length: 20 }, () => client(g)))
    for (const c of clients) await c.take()
    await g.advance(1000)
    looks = 0
    for (let i = 0; i < 20; i++) await send(g, `b${i}`)
    const seen = await Promise.all(clients.map((c) => c.take()))
    for (const events of seen) expect(events).toHaveLength(20)
    // One follower's look for each would be twenty.
    expect(looks).toBeLessThan(15)
    await Promise.all(clients.map((c) => c.leave()))
    expect(g.deps.streams.open).toBe(0)
    await g.advance(1000)
    looks = 0
    await send(g, 'c')
    await g.advance(10_000)
    expect(looks).toBe(0)
    expect(g.env.clock.pending).toBe(0)
  })
  test('the store is away: refused at the start; later it waits, and goes on where it was', async () => {
    const g = await started()
    const real = g.audit.follow
    const c = await client(g)
    await c.take()
    const down = async () => Promise.reject(new StateUnavailable('down'))
    Object.assign(g.audit, { follow: down })
    problem(await g.ask('GET', '/v1/stream'), 503, 'state_unavailable')
    await send(g, 'a')
    expect(await c.take(5000)).toEqual([])
    Object.assign(g.audit, { follow: real })
    await send(g, 'b')
    expect(actions(await c.take(2000))).toEqual(['a', 'b'])
    expect(g.env.logged.filter((l) => l.message.includes('cannot be followed'))).toHaveLength(1)
  })
  test('refusals: too many, audit off, wrong parameters; HEAD begins nothing', async () => {
    const g = await started({ streams: { most: 2 } })
    const clients = [await client(g), await client(g)]
    const refusedOne = await g.ask('GET', '/v1/stream')
    problem(refusedOne, 503, 'too_many_streams', { retry_after_ms: 5000 })
    expect(refusedOne.headers.get('retry-after')).toBe('5')
    expect((await g.app.request('/v1/stream', { method: 'HEAD' })).status).toBe(200)
    await clients[0]!.leave()
    expect(g.deps.streams.open).toBe(1)
    await client(g)
    problem(await g.ask('GET', '/v1/stream?all_scopes=true&tenant=a'), 400, 'invalid_query')
    problem(await g.ask('GET', '/v1/stream?outcom=failed'), 400, 'invalid_query')
    problem(await g.ask('GET', '/v1/stream?namespace='), 400, 'invalid_query')
    const off = await started({ set: ['audit.enabled=false'] })
    problem(await off.ask('GET', '/v1/stream'), 501, 'not_supported')
  })
  test('a stop says farewell, with where to go on, and takes no more', async () => {
    const g = await started()
    const c = await client(g)
    await c.take()
    await send(g, 'a')
    const seen = await c.take()
    const closing = g.deps.streams.close()
    const [last] = await c.take()
    expect(last).toMatchObject({ event: 'closing', id: seen[0]!.id })
    expect(c.over).toBe(true)
    await closing
    problem(await g.ask('GET', '/v1/stream'), 503, 'not_ready')
    expect(g.deps.streams.open).toBe(0)
  })
})
