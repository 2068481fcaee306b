import { Redis as Client } from 'ioredis'
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest'
import { drainOutbox } from '../../src/audit/outbox.ts'
import type { Scope } from '../../src/core/action.ts'
import { type AuditRow, type InOutbox, outboxText } from '../../src/core/audit.ts'
import { monotonicClock } from '../../src/core/clock.ts'
import { StateUnavailable, StateUnknown } from '../../src/core/errors.ts'
import { kinds } from '../../src/core/hold.ts'
import { seededRandom, uuidv7Source } from '../../src/core/ids.ts'
import type { Op, StateStore } from '../../src/core/state.ts'
import type { Opened, StoreSettings } from '../../src/state/opened.ts'
import type { Link } from '../../src/state/redis/link.ts'
import { openRedis } from '../../src/state/redis.ts'
import { handsOver } from '../contract/hand-over.ts'
import { plainRow } from '../fakes/audit-row.ts'
import { testEnv } from '../fakes/env.ts'
import { PROMISED_MS, SOON } from '../fakes/soon.ts'
import { startProxy, type TcpProxy } from '../servers/proxy.ts'
import { type Redis, startRedis, withoutRedis } from '../servers/redis.ts'
import { redisStore } from './redis-store.ts'

const settings = (url: string): StoreSettings => ({
  path: '',
  synchronous: 'full',
  url,
  listenUrl: undefined,
  region: undefined,
  tableName: undefined,
  prefix: 'shared',
  durability: 'everysec',
})

describe.skipIf(withoutRedis())('several gateways on one Redis', () => {
  let server: Redis
  let nodes: Opened[]
  const newId = uuidv7Source(monotonicClock().now, seededRandom(5))
  beforeAll(async () => {
    server = await startRedis()
    const open = (seed: number) => {
      const { log } = testEnv()
      const tools = { clock: monotonicClock(), random: seededRandom(seed), log, auditElsewhere: true }
      return openRedis(settings(server.url), tools)
    }
    nodes = [await open(1), await open(2), await open(3)]
  })
  afterAll(async () => {
    await Promise.all(nodes.map((n) => n.state.close()))
    await server.stop()
  })

  it('are open under one clock, and say where', () => {
    const [a, b] = nodes
    expect(Math.abs(a!.clock.now() - b!.clock.now())).toBeLessThan(100)
    expect(nodes.map((n) => n.trouble())).toEqual([undefined, undefined, undefined])
    expect(a!.where).toBe(`Redis at 127.0.0.1:${server.port}`)
    expect(a!.audit).toBeUndefined()
  })

  it('each entry is claimed by one of them, whatever its scope', async () => {
    const [a] = nodes
    const scopes = Array.from({ length: 20 }, (_, i): Scope => ['claims', `t${i}`])
    const ids = Array.from({ length: 10 }, (_, i) => `e${i}`)
    for (const scope of scopes)
      await a!.state.commit(
        scope,
        ids.map((id): Op => ({ op: 'put', kind: 'job', id, value: '', version: newId(), dueAt: 1 })),
      )
    const taken: string[] = []
    const work = async (node: Opened, owner: string): Promise<void> => {
      for (let empty = 0; empty < 2; ) {
        const claimed = await node.state.claim('job', { owner, leaseMs: 60_000, limit: 7 })
        empty = claimed.length === 0 ? empty + 1 : 0
        taken.push(...claimed.map((c) => `${c.key.scope[1]}/${c.key.id}`))
      }
    }
    await Promise.all(nodes.flatMap((n, i) => [work(n, `n${i}a`), work(n, `n${i}b`)]))
    expect(taken.length).toBe(200)
    expect(new Set(taken).size).toBe(200)
  })

  it('a limit holds across them', async () => {
    const many = Array.from({ length: 90 }, (_, i) =>
      nodes[i % 3]!.state.commit(
        ['limits', 't'],
        [
          { op: 'count', id: 'c', by: 1, limit: 50, expiresAt: 1e15 },
          { op: 'admit', id: 'w', max: 30, windowMs: 600_000 },
        ],
      ),
    )
    expect((await Promise.all(many)).filter((r) => r.ok)).toHaveLength(30)
    expect(await nodes[0]!.state.peek('count', ['limits', 't'], ['c'])).toMatchObject([{ n: 30 }])
  })

  it('a control document is known to all of them within a second', async () => {
    const topics = await Promise.all(nodes.map((n) => n.state.control('switches')))
    await topics[0]!.put('rule', 'off')
    const written = performance.now()
    await vi.waitUntil(() => topics.every((t) => t.get('rule')?.value === 'off'), SOON)
    expect(performance.now() - written).toBeLessThan(PROMISED_MS)
    await topics[2]!.delete('rule')
    await vi.waitUntil(() => topics.every((t) => t.get('rule') === undefined), SOON)
  })

  it('records wait in the outbox, written in the commit they belong to, and are carried over once', async () => {
    const scope: Scope = ['audit', 't']
    const [a, b] = nodes
    const record = (id: string): Op => ({ op: 'record', row: plainRow(id, scope) })
    await a!.state.commit(scope, [record('1'), record('1'), record('2')])
    expect(
      await a!.state.commit(scope, [record('3'), { op: 'count', id: 'c', by: 2, limit: 1, expiresAt: 1e15 }]),
    ).toMatchObject({ ok: false })
    const carried: string[] = []
    const audit = { append: async (rows: readonly AuditRow[]) => void carried.push(...rows.map((r) => r.id)) }
    const counts = await Promise.all([
      drainOutbox(a!.state, audit, 'a', testEnv().log),
      drainOutbox(b!.state, audit, 'b', testEnv().log),
    ])
    expect(counts[0]! + counts[1]!).toBe(2)
    expect(carried.toSorted()).toEqual(['1', '2'])
  })

  it('records of commits that travel together wait together, and stay one each when their commit is repeated in other company', async () => {
    const scope: Scope = ['audit', 'u']
    const [a] = nodes
    const commits = (ids: readonly string[]) =>
      Promise.all(ids.map((id) => a!.state.commit(scope, [{ op: 'record', row: plainRow(id, scope) }])))
    const many = Array.from({ length: 150 }, (_, i) => String(i))
    await commits(many)
    expect((await a!.state.list(kinds.auditOutbox, scope, { limit: 1000 })).entries.length).toBeLessThan(75)
    // As after a reply that was lost: the first of an entry that stands, beside one that stands in no entry.
    const [first] = (await a!.state.list(kinds.auditOutbox, scope, { limit: 1 })).entries
    await commits([first!.key.id, 'new'])
    const carried: string[] = []
    const append = async (rows: readonly AuditRow[]) => void carried.push(...rows.map((r) => r.id))
    await drainOutbox(a!.state, { append }, 'a', testEnv().log)
    expect(new Set(carried)).toEqual(new Set([...many, 'new']))
    expect((await a!.state.list(kinds.auditOutbox, scope, { limit: 9 })).entries).toEqual([])
  })

  it('what it has written for an audit elsewhere is handed over', () =>
    handsOver((handOver) =>
      openRedis(
        { ...settings(server.url), prefix: 'handing' },
        { clock: monotonicClock(), random: seededRandom(13), log: testEnv().log, auditElsewhere: true, handOver },
      ),
    ))

  it('what has come into the outbox is handed over as it stands there: commits refused, dry, repeated, of several scopes in one script', async () => {
    const random = seededRandom(11)
    const int = (below: number) => Math.floor(random.float() * below)
    const got: InOutbox[] = []
    const { state, clock } = await openRedis(settings(server.url), {
      clock: monotonicClock(),
      random: seededRandom(12),
      log: testEnv().log,
      auditElsewhere: true,
      handOver: { aheadMs: 60_000, take: (entry) => got.push(entry) },
    })
    const scopes = ['x', 'y', 'z'].map((t): Scope => ['handed', t])
    const payload = 'ä'.repeat(5000)
    const commit = (i: number) => {
      const scope = scopes[i % scopes.length]!
      // Some come twice, beside each other or later.
      const ids = Array.from({ length: int(3) }, () => `r${Math.max(0, i - int(4))}.${int(3)}`)
      const row = (id: string) => {
        const plain = plainRow(id, scope)
        return { ...plain, json: JSON.stringify({ ...JSON.parse(plain.json), payload: { i, payload } }) }
      }
      const ops = ids.map((id): Op => ({ op: 'record', row: row(id) }))
      const refused = int(5) === 0
      if (refused) ops.push({ op: 'count', id: 'c', by: 2, limit: 1, expiresAt: 9e15 })
      return state.commit(scope, ops, { dry: int(5) === 0 })
    }
    const before = clock.now()
    /** The first of an entry that stands, in other company. */
    const again = ({ scope, rows }: InOutbox, i: number) =>
      state.commit(
        scope,
        [rows[0]!, plainRow(`new${i}`, scope)].map((row): Op => ({ op: 'record', row })),
      )
    for (let round = 0; round < 5; round++) {
      const repeated = got.slice(0, 2).map((entry, i) => again(entry, round * 2 + i))
      await Promise.all([...repeated, ...Array.from({ length: 60 }, (_, i) => commit(round * 60 + i))])
    }
    const stored = await Promise.all(
      scopes.map(async (scope) => (await state.list(kinds.auditOutbox, scope, { limit: 1000 })).entries),
    )
    const there = stored.flat()
    const told = new Map(got.map((e) => [`${e.scope} ${e.id}`, outboxText(e.rows)]))
    expect(told).toEqual(new Map(there.map((e) => [`${e.key.scope} ${e.key.id}`, e.value])))
    expect(there.length).toBeGreaterThan(10)
    for (const { dueAt } of [...there, ...got]) expect(dueAt! - before).toBeGreaterThanOrEqual(60_000)
    await state.close()
  })

  it('what is kept by its id only is in no list, and goes by itself', async () => {
    const scope: Scope = ['ids', 't']
    const [a, b] = nodes
    const put = (id: string, ifVersion: string | null, more: object = {}): Op =>
      ({ op: 'put', kind: 'dedup', id, value: id, version: newId(), ifVersion, ...more }) as Op
    const at = async (id: string) => (await b!.state.get([{ kind: 'dedup', scope, id }]))[0]
    expect(await a!.state.commit(scope, [put('x', null, { expiresAt: 1e15 }), put('y', null)])).toMatchObject({
      ok: true,
    })
    expect(await at('x')).toMatchObject({ value: 'x', expiresAt: 1e15 })
    const { version } = (await at('x'))!
    expect(await b!.state.commit(scope, [put('x', null)])).toMatchObject({ ok: false, saw: { version } })
    await b!.state.commit(scope, [put('x', version), { op: 'delete', kind: 'dedup', id: 'y' }])
    expect((await at('x'))?.expiresAt).toBeUndefined()
    expect(await at('y')).toBeUndefined()
    const redis = new Client(server.url)
    using _ = { [Symbol.dispose]: () => redis.disconnect() }
    const keys = (await redis.keys('*')).filter((k) => k.includes('dedup'))
    expect(keys).toHaveLength(1)
    expect(await redis.pttl(keys[0]!)).toBe(-1)
    await a!.state.commit(scope, [put('x', (await at('x'))!.version, { expiresAt: a!.clock.now() + 1000 })])
    expect(await redis.pttl(keys[0]!)).toBeGreaterThan(1000)
    await expect(a!.state.commit(scope, [put('z', null, { dueAt: 1 })])).rejects.toThrow('never due')
  })

  it('what has expired is taken away, also of a scope nobody writes any more', async () => {
    const [a] = nodes
    const scope: Scope = ['expiry', 'quiet']
    const expiresAt = a!.clock.now() + 1
    await a!.state.commit(
      scope,
      Array.from(
        { length: 300 },
        (_, i): Op => ({ op: 'put', kind: 'note', id: `${i}`, value: '', version: newId(), expiresAt }),
      ),
    )
    expect(await a!.state.scopes('note', { limit: 9 })).toEqual([scope])
    await vi.waitFor(
      async () => {
        await a!.state.claim('none', { owner: 'w', leaseMs: 1, limit: 1 })
        expect(await a!.state.scopes('note', { limit: 9 })).toEqual([])
      },
      { ...SOON, interval: 50 },
    )
  })

  it('what was put anew after it had expired expires as well', async () => {
    const env = testEnv()
    const { state } = await redisStore(server.url, env)
    const scope: Scope = ['expiry', 'anew']
    const put = () => ({ op: 'put', kind: 'note', id: 'x', value: '', version: newId() }) as const
    await state.commit(scope, [{ ...put(), expiresAt: env.clock.now() + 1000 }])
    await env.clock.advance(2000)
    await state.commit(scope, [{ ...put(), expiresAt: env.clock.now() + 1000 }])
    await env.clock.advance(2000)
    // Any commit of the tag takes away what has expired.
    await state.commit(scope, [{ ...put(), kind: 'other' }])
    expect(await state.scopes('note', { limit: 9 })).toEqual([])
  })
})

describe.skipIf(withoutRedis())('ways to Redis and back', () => {
  let server: Redis
  let proxy: TcpProxy
  let state: StateStore
  let link: Link
  const env = testEnv()
  const scope: Scope = ['ways', 't']
  beforeAll(async () => {
    server = await startRedis()
    proxy = await startProxy({ port: server.port })
    const opened = await redisStore(proxy.url(server.url), env)
    state = opened.state
    link = opened.link
  })
  afterAll(async () => {
    await state.close()
    await proxy.close()
    await server.stop()
  })
  const put = (id: string, more: Partial<Extract<Op, { op: 'put' }>> = {}): Op => ({
    op: 'put',
    kind: 'k',
    id,
    value: 'v',
    version: env.newId(),
    ...more,
  })
  const trips = async (work: () => Promise<unknown>): Promise<number> => {
    const before = link.roundTrips
    await work()
    return link.roundTrips - before
  }

  it('a dispatch is two: one for the decision with all its guards, one for what became of it', async () => {
    const dispatch = async (id: string): Promise<void> => {
      const decided = await state.commit(scope, [
        put(`dedup ${id}`, { ifVersion: null, expiresAt: env.clock.now() + 1000 }),
        { op: 'admit', id: 'throttle', max: 1000, windowMs: 1000 },
        { op: 'count', id: 'quota', by: 1, limit: 1000, expiresAt: 1e15 },
        put(`intent ${id}`, { ifVersion: null, claim: { owner: 'me', until: env.clock.now() + 30_000 } }),
      ])
      if (!decided.ok) throw new Error('refused')
      const number = decided.results[3]!.claimNumber!
      await state.commit(scope, [
        { op: 'delete', kind: 'k', id: `intent ${id}`, ifClaim: { owner: 'me', number } },
        { op: 'record', row: plainRow(`audit ${id}`, scope) },
      ])
    }
    expect(await trips(() => dispatch('a'))).toBe(2)
    // Those under way at once travel together.
    const together = await trips(() => Promise.all(Array.from({ length: 64 }, (_, i) => dispatch(`b${i}`))))
    expect(together).toBeLessThan(20)
  })
  it('a read is one, whatever it looks at; a claim two', async () => {
    const keys = Array.from({ length: 50 }, (_, i) => ({ kind: 'k', scope, id: `dedup b${i}` }))
    expect(await trips(() => state.get(keys))).toBe(1)
    expect(await trips(() => state.list('k', scope, { limit: 1000 }))).toBe(1)
    expect(await trips(() => state.peek('count', scope, ['quota', 'other']))).toBe(1)
    for (const ask of [() => state.nextDue('k'), () => state.depths(), () => state.scopes('k', { limit: 1 })])
      expect(await trips(ask)).toBe(1)
    const claim = () => state.claim('due', { owner: 'w', leaseMs: 1, limit: 9 })
    await claim()
    expect(await trips(claim)).toBe(1)
    await state.commit(
      scope,
      [put('x', { dueAt: 1 })].map((op) => ({ ...op, kind: 'due' }) as Op),
    )
    expect(await trips(claim)).toBe(2)
  })

  const into = { kind: 'sealed', idPrefix: 's' }
  const buffer = { id: 'b', value: '', maxItems: 9, maxBytes: 99, waitMs: 1, intervalMs: 1, into } as const
  const claimed = async (): Promise<Op[]> => {
    await state.commit(scope, [put('mine', { claim: { owner: 'me', until: env.clock.now() + 9000 } })])
    const [e] = await state.get([{ kind: 'k', scope, id: 'mine' }])
    return [{ op: 'touch', kind: 'k', id: 'mine', ifClaim: e!.claim!, dueAt: 5 }]
  }
  /** Each op, and what shows that it was done once, read when its answer was lost and again when it has been asked for once more. */
  const kinds: readonly [name: string, ops: () => Promise<Op[]> | Op[], seen: () => Promise<unknown>][] = [
    ['put', () => [put('p', { version: 'v1', ifVersion: null })], async () => (await at('p'))?.version],
    ['touch', claimed, async () => [(await at('mine'))?.dueAt, (await at('mine'))?.claim]],
    ['delete', () => [{ op: 'delete', kind: 'k', id: 'p', ifVersion: 'v1' }], () => at('p')],
    ['wake', () => [{ op: 'wake', kind: 'k', id: 'mine' }], async () => (await at('mine'))?.dueAt],
    ['append', () => [{ op: 'append', itemId: 'i', item: 'x', ...buffer }], () => state.peek('buffer', scope, ['b'])],
    ['seal', () => [{ op: 'seal', id: 'b', into }], () => state.list('sealed', scope, { limit: 9 })],
    [
      'slot',
      () => [{ op: 'slot', id: 's', holder: 'h', max: 1, until: 1e15 }],
      () => state.commit(scope, [{ op: 'slot', id: 's', holder: 'other', max: 1, until: 1e15 }], { dry: true }),
    ],
    [
      'record',
      () => [{ op: 'record', row: plainRow('lost', scope) }],
      async () => (await state.depths()).find((d) => d.kind.includes('outbox'))?.waiting,
    ],
  ]
  const at = async (id: string) => (await state.get([{ kind: 'k', scope, id }]))[0]
  it.each(kinds)(
    'PITFALLS 61: the answer to a %s is lost: unknown, done, and no harm in asking again',
    async (_, make, seen) => {
      const ops = await make()
      const lost = proxy.loseReply({ request: (data) => /evalsha/i.test(data.toString('latin1')) })
      await expect(state.commit(scope, ops)).rejects.toThrow(StateUnknown)
      await lost
      await vi.waitUntil(() => link.trouble() === undefined, SOON)
      const once = await seen()
      await state.commit(scope, ops)
      expect(await seen()).toEqual(once)
    },
  )
  it('guards whose answer is lost are counted, never uncounted', async () => {
    const guards: Op[] = [
      { op: 'count', id: 'n', by: 1, limit: 5, expiresAt: 1e15 },
      { op: 'admit', id: 'w', max: 5, windowMs: 1000 },
    ]
    const lost = proxy.loseReply({ request: (data) => /evalsha/i.test(data.toString('latin1')) })
    await expect(state.commit(scope, guards)).rejects.toThrow(StateUnknown)
    await lost
    await vi.waitUntil(() => link.trouble() === undefined, SOON)
    expect(await state.peek('count', scope, ['n'])).toMatchObject([{ n: 1 }])
    expect(await state.peek('admit', scope, ['w'])).toMatchObject([{ n: 1 }])
  })
  it('reads whose answer is lost have done nothing', async () => {
    const reads = [
      () => state.get([{ kind: 'k', scope, id: 'p' }]),
      () => state.list('k', scope, { limit: 1 }),
      () => state.peek('count', scope, ['n']),
      () => state.scopes('k', { limit: 1 }),
      () => state.nextDue('k'),
      () => state.depths(),
    ]
    for (const read of reads) {
      const lost = proxy.loseReply()
      await expect(read()).rejects.toThrow(StateUnavailable)
      await lost
      await vi.waitUntil(() => link.trouble() === undefined, SOON)
      await read()
    }
  })
})
