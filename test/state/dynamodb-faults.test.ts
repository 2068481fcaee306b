import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { CreateTableCommand, DeleteTableCommand, GetItemCommand } from '@aws-sdk/client-dynamodb'
import { afterAll, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest'
import { drainOutbox } from '../../src/audit/outbox.ts'
import { type AuditRow, auditRow, outboxText } from '../../src/core/audit.ts'
import { isoTime } from '../../src/core/clock.ts'
import { StateTooLarge, StateUnavailable, StateUnknown } from '../../src/core/errors.ts'
import { kinds } from '../../src/core/hold.ts'
import type { Op } from '../../src/core/state.ts'
import { entryName, keyOf } from '../../src/state/dynamodb/items.ts'
import { ensureTables } from '../../src/state/dynamodb/tables.ts'
import { tablesOf } from '../../src/state/dynamodb.ts'
import { scopeText } from '../../src/state/scope.ts'
import { plainRow } from '../fakes/audit-row.ts'
import { testEnv } from '../fakes/env.ts'
import { SOON } from '../fakes/soon.ts'
import { startProxy, type TcpProxy } from '../servers/proxy.ts'
import { dynamo, startBetween, THROTTLED } from './dynamodb-open.ts'

vi.setConfig({ testTimeout: 60_000 })
const db = dynamo()
const env = testEnv()
const scope = ['faults', 'tenant'] as const
const IMPATIENT = { requestMs: 400, deadlineMs: 1500 }

type Opened = Awaited<ReturnType<typeof db.stores>>
const put = (id: string, more: Partial<Extract<Op, { op: 'put' }>> = {}): Op => ({
  op: 'put',
  kind: 'k',
  id,
  value: `value of ${id}`,
  version: env.newId(),
  ...more,
})
const count = (id: string, limit?: number): Op => ({
  op: 'count',
  id,
  by: 1,
  expiresAt: 1e15,
  ...(limit !== undefined && { limit }),
})
const record = (): Op => {
  const at = isoTime(env.clock.now())
  return {
    op: 'record',
    row: auditRow({
      id: env.newId(),
      kind: 'dispatch',
      namespace: scope[0],
      tenant: scope[1],
      action_id: 'a',
      run_id: 'r',
      action_type: 't',
      outcome: 'executed',
      received_at: at,
      completed_at: at,
      duration_ms: 1,
    }),
  }
}
/** Requests of an operation, as they begin. */
const asks = (operation: string) => ({ request: (data: Buffer) => data.includes(`DynamoDB_20120810.${operation}`) })

describe('answers lost on their way', () => {
  let proxy: TcpProxy
  let opened: Opened
  let n = 0
  let id = ''
  beforeAll(async () => {
    proxy = await startProxy({ port: Number(new URL(db.url()).port) })
    opened = await db.stores(env.clock, { endpoint: `http://127.0.0.1:${proxy.port}`, patience: IMPATIENT })
    // What is announced once is out of the way.
    await opened.state.commit(scope, [put('first', { dueAt: 0 }), count('first'), record()])
  })
  afterAll(async () => {
    await opened.state.close()
    await proxy.close()
  })
  beforeEach(() => {
    id = `e${++n}`
  })
  const get = async () => (await opened.state.get([{ kind: 'k', scope, id }]))[0]

  it('a transaction is asked for again under its token, and done once', async () => {
    const lost = proxy.loseReply(asks('TransactWriteItems'))
    const append: Op = {
      op: 'append',
      id,
      itemId: 'i',
      item: 'x',
      value: '{}',
      maxItems: 9,
      maxBytes: 99,
      waitMs: 9,
      intervalMs: 9,
      into: { kind: 'k', idPrefix: 'f' },
    }
    const admit: Op = { op: 'admit', id, max: 5, windowMs: 1000 }
    const done = await opened.state.commit(scope, [put(id, { version: 'mine', ifVersion: null }), append, admit])
    await lost
    expect(done).toMatchObject({ ok: true, results: [{}, { n: 1 }, { n: 1 }] })
    expect((await get())?.version).toBe('mine')
    expect(await opened.state.peek('admit', scope, [id])).toEqual([{ n: 1 }])
    expect((await opened.state.peek('buffer', scope, [id]))[0]?.n).toBe(1)
  })
  it('a counter whose answer was lost was counted once', async () => {
    for (const want of [1, 2]) {
      const lost = proxy.loseReply(asks('UpdateItem'))
      expect(await opened.state.commit(scope, [count(id, 2)])).toEqual({ ok: true, results: [{ n: want }] })
      await lost
    }
    expect(await opened.state.commit(scope, [count(id, 2)])).toMatchObject({ ok: false, n: 2 })
  })
  it('a claim whose answer was lost is ours', async () => {
    await opened.state.commit(scope, [put(id, { kind: id, dueAt: 0 })])
    const lost = proxy.loseReply(asks('UpdateItem'))
    const claimed = await opened.state.claim(id, { owner: 'w', leaseMs: 1000, limit: 5 })
    await lost
    expect(claimed).toMatchObject([{ attempts: 1, claim: { owner: 'w' } }])
    const ifClaim = { owner: 'w', number: claimed[0]!.claim.number }
    expect(await opened.state.commit(scope, [{ op: 'delete', kind: id, id, ifClaim }])).toMatchObject({ ok: true })
  })
  it('a read is asked for again', async () => {
    for (const operation of ['BatchGetItem', 'Query']) {
      const lost = proxy.loseReply(asks(operation))
      if (operation === 'Query') await opened.state.list('k', scope, { limit: 1 })
      else await get()
      await lost
    }
  })
  it('silence while writing: unknown, in time, and one read tells; work goes on without a restart', async () => {
    const writing = opened.state.commit(scope, [put(id, { version: 'mine' })])
    const read = vi.waitFor(() => expect(opened.client.trouble).toBeDefined(), SOON)
    proxy.blackHole()
    await expect(writing).rejects.toThrow(/DynamoDB|no answer/)
    await read
    await expect(get()).rejects.toThrow(StateUnavailable)
    proxy.up()
    const found = await get()
    expect([undefined, 'mine']).toContain(found?.version)
    expect(await opened.state.commit(scope, [put(id)])).toMatchObject({ ok: true })
    expect(opened.client.trouble).toBeUndefined()
  })
  it('an answer to a write that never comes is told as unknown', async () => {
    // The reads of the decision pass; what is written then meets silence.
    const swallowed = proxy.loseReply(asks('TransactWriteItems')).then(() => proxy.blackHole())
    await expect(opened.state.commit(scope, [put(id, { version: 'mine' })])).rejects.toThrow(StateUnknown)
    await swallowed
    proxy.up()
    expect((await get())?.version).toBe('mine')
  })
  it('a store that is gone: unavailable at once, and back without a restart', async () => {
    proxy.down()
    await expect(opened.state.commit(scope, [put(id)])).rejects.toThrow(StateUnavailable)
    proxy.up()
    expect(await opened.state.commit(scope, [put(id)])).toMatchObject({ ok: true })
  })
})

describe('two gateways on one table', () => {
  let [one, two]: [Opened, Opened] = [undefined as never, undefined as never]
  beforeAll(async () => {
    const tables = db.tables()
    one = await db.stores(env.clock, { tables })
    two = await db.stores(env.clock, { tables })
  })
  afterAll(() => Promise.all([one.state.close(), two.state.close()]))

  it('of what is due each entry is claimed by one, under numbers never given twice', async () => {
    for (let i = 0; i < 12; i++) await one.state.commit(scope, [put(`due ${i}`, { kind: 'work', dueAt: 0 })])
    const claims = await Promise.all(
      [one, two, one, two].map(({ state }, i) => state.claim('work', { owner: `w${i}`, leaseMs: 1000, limit: 12 })),
    )
    const all = claims.flat()
    expect(all.map((c) => c.key.id).sort()).toEqual(Array.from({ length: 12 }, (_, i) => `due ${i}`).sort())
    expect(new Set(all.map((c) => c.claim.number)).size).toBe(12)
  })
  it('a scope with much due hides no other, though it fills a page of the index', async () => {
    const kind = 'much'
    for (let n = 0; n < 12; n++)
      await one.state.commit(
        scope,
        Array.from({ length: 50 }, (_, i) => put(`${n}/${i}`, { kind, dueAt: n })),
      )
    await one.state.commit(['faults', 'small'], [put('late', { kind, dueAt: 99 })])
    const claimed = await two.state.claim(kind, { owner: 'w', leaseMs: 1000, limit: 8, perScope: 4 })
    expect(
      claimed.map((c) => [c.key.scope[1], c.dueAt !== undefined]).filter(([tenant]) => tenant === 'small'),
    ).toHaveLength(1)
    expect(claimed).toHaveLength(5)
    expect(claimed.filter((c) => c.key.scope[1] === scope[1]).every((c) => c.key.id.startsWith('0/'))).toBe(true)
  })
  it('guards hold across them, and what is written by both is there once', async () => {
    const both = (ops: (i: number) => Op[]) =>
      Promise.all(Array.from({ length: 16 }, (_, i) => (i % 2 ? one : two).state.commit(scope, ops(i))))
    const counted = await both((i) => [count('shared', 9), put(`counted ${i}`)])
    expect(counted.filter((r) => r.ok)).toHaveLength(9)
    expect(await one.state.peek('count', scope, ['shared'])).toMatchObject([{ n: 9 }])
    const admitted = await both(() => [{ op: 'admit', id: 'shared', max: 7, windowMs: 1000 }])
    expect(admitted.filter((r) => r.ok)).toHaveLength(7)
    const wins = await both((i) => [put('race', { version: `v${i}`, ifVersion: null })])
    expect(wins.filter((r) => r.ok)).toHaveLength(1)
    const into = { kind: 'flush', idPrefix: 'f' }
    const limits = { maxItems: 5, maxBytes: 1000, waitMs: 9, intervalMs: 9, into }
    await both((i) => [{ op: 'append', id: 'g', itemId: `i${i}`, item: 'x', value: '{}', ...limits }])
    const flushes = (await two.state.list('flush', scope, { limit: 9 })).entries
    const items = [
      ...flushes.flatMap((e) => (JSON.parse(e.value) as { items: { itemId: string }[] }).items),
      ...((await one.state.peek('buffer', scope, ['g']))[0]?.items ?? []),
    ]
    expect(items.map((i) => i.itemId).sort()).toEqual(Array.from({ length: 16 }, (_, i) => `i${i}`).sort())
  })
  it('what is counted for a commit that is refused is taken back', async () => {
    const ops = [count('undone', 50), put('contended', { ifVersion: null })]
    await Promise.all([one, two, one, two].map(({ state }) => state.commit(scope, ops)))
    expect(await one.state.peek('count', scope, ['undone'])).toMatchObject([{ n: 1 }])
  })
  it('a control document is at the other within a second', async () => {
    const [mine, theirs] = [await one.state.control('topic'), await two.state.control('topic')]
    expect(await mine.put('switch', 'off')).toBe(true)
    const polled = vi.waitFor(() => expect(theirs.get('switch')?.value).toBe('off'), SOON)
    await env.clock.advance(1000)
    await polled
  })
})

it('a request that is late, while others are in the way of its repetition: its commit is not decided anew, as if it were somebody else', async () => {
  const at = ['faults', 'late'] as const
  const late = Promise.withResolvers<void>()
  let n = 0
  const before = await startBetween(db.url(), async (operation) => {
    if (operation !== 'TransactWriteItems') return undefined
    const mine = ++n
    if (mine === 1) await late.promise
    if (mine !== 2) return undefined
    // What was given up by its sender arrives now.
    late.resolve()
    await vi.waitFor(
      async () => expect(await other.state.get([{ kind: 'k', scope: at, id: 'late' }])).toMatchObject([{}]),
      SOON,
    )
    return 'TransactionConflictException'
  })
  const opened = await db.stores(env.clock, {
    endpoint: before.endpoint,
    patience: { ...IMPATIENT, deadlineMs: 10_000 },
  })
  const other = await db.stores(env.clock, { tables: opened.tables })
  expect(await opened.state.commit(at, [put('late', { ifVersion: null }), count('late', 1)])).toMatchObject({
    ok: true,
  })
  expect(await other.state.peek('count', at, ['late'])).toMatchObject([{ n: 1 }])
  await Promise.all([opened.state.close(), other.state.close()])
  await before.close()
})

describe('a count that is taken back', () => {
  const quota = (): Op => count('quota', 1)
  const throttle: Op = { op: 'admit', id: 'one', max: 1, windowMs: 60_000 }

  it('SPEC 2: a throttled action uses no quota, also while it is being refused at another node', async () => {
    const at = ['faults', 'taken back'] as const
    const arrived = Promise.withResolvers<void>()
    const go = Promise.withResolvers<void>()
    let holding = true
    const before = await startBetween(db.url(), async (operation) => {
      if (!holding || operation !== 'TransactWriteItems') return undefined
      arrived.resolve()
      await go.promise
      return undefined
    })
    const a = await db.stores(env.clock, { endpoint: before.endpoint })
    const b = await db.stores(env.clock, { tables: a.tables })
    // A has counted, and its transaction is on its way when B takes the throttle's only place.
    const one = a.state.commit(at, [throttle, quota()])
    await arrived.promise
    expect(await b.state.commit(at, [throttle])).toMatchObject({ ok: true })
    const two = b.state.commit(at, [quota()])
    holding = false
    go.resolve()
    expect(await one).toMatchObject({ ok: false, at: 0 })
    expect(await two).toMatchObject({ ok: true })
    expect(await a.state.peek('count', at, ['quota'])).toMatchObject([{ n: 1 }])
    await Promise.all([a.state.close(), b.state.close()])
    await before.close()
  })
  it('a limit that was reached some time ago refuses with its first look, one reached just now with the second', async () => {
    const at = ['faults', 'reached'] as const
    const { state, client } = await db.stores(env.clock)
    await state.commit(at, [quota()])
    const asked = async () => {
      const sent = client.sent
      expect(await state.commit(at, [quota()])).toEqual({ ok: false, at: 0, n: 1 })
      return client.sent - sent
    }
    expect(await asked()).toBe(2)
    await env.clock.advance(1001)
    expect(await asked()).toBe(1)
    await state.close()
  })
})

describe('round trips and limits', () => {
  let opened: Opened
  beforeAll(async () => {
    opened = await db.stores(env.clock)
  })
  afterAll(() => opened.state.close())

  it('a dispatch is one read and one transaction, and one update for each counter', async () => {
    const dispatch = (id: string, counters: readonly string[]): Op[] => [
      put(`dedup ${id}`, { kind: 'dedup', ifVersion: null, expiresAt: env.clock.now() + 1000 }),
      { op: 'admit', id: 'throttle', max: 100, windowMs: 1000 },
      ...counters.map((c) => count(c, 1000)),
      put(id, { kind: 'intent', claim: { owner: 'me', until: env.clock.now() + 1000 } }),
      record(),
    ]
    const sent = async (id: string, counters: readonly string[]): Promise<number> => {
      const before = opened.client.sent
      expect(await opened.state.commit(scope, dispatch(id, counters))).toMatchObject({ ok: true })
      return opened.client.sent - before
    }
    await sent('warm', ['a', 'b'])
    expect(await sent('1', [])).toBe(2)
    expect(await sent('2', ['a'])).toBe(3)
    expect(await sent('3', ['a', 'b'])).toBe(4)
    // A refusal has been read, and writes nothing.
    expect(await opened.state.commit(scope, [put('3', { ifVersion: 'no' }), count('a')])).toMatchObject({ ok: false })
  })
  it('commits of a scope that wait for each other travel together', async () => {
    await opened.state.commit(scope, [count('hot')])
    const before = opened.client.sent
    await Promise.all(Array.from({ length: 30 }, (_, i) => opened.state.commit(scope, [count('hot'), put(`h${i}`)])))
    expect(opened.client.sent - before).toBeLessThanOrEqual(6)
    expect(await opened.state.peek('count', scope, ['hot'])).toMatchObject([{ n: 31 }])
  })
  it('refuses what DynamoDB cannot take before anything is written', async () => {
    const large = put('large', { value: 'x'.repeat(397 * 1024) })
    const refused = opened.state.commit(scope, [count('large'), put('small'), large])
    await expect(refused).rejects.toThrow(StateTooLarge)
    await expect(refused).rejects.toThrow(/an entry of \d+ KB; DynamoDB keeps up to 396 KB/)
    const many = Array.from({ length: 120 }, (_, i) => put(`many ${i}`))
    await expect(opened.state.commit(scope, many)).rejects.toThrow(StateTooLarge)
    await expect(opened.state.commit(scope, many)).rejects.toThrow(/a commit of 120 items .*DynamoDB takes 100/)
    expect((await opened.state.list('k', scope, { limit: 9 })).entries.map((e) => e.key.id)).not.toContain('small')
    expect(await opened.state.peek('count', scope, ['large'])).toEqual([undefined])
  })
  it('what is new and due leaves room for what it becomes on its way: put back, or ended as a dead letter', async () => {
    const due = (kb: number) => put('due', { value: 'x'.repeat(kb * 1024), dueAt: env.clock.now() + 1000 })
    await expect(opened.state.commit(scope, [due(385)])).rejects.toThrow(
      /an entry of 386 KB; DynamoDB keeps up to 380 KB/,
    )
    expect(await opened.state.commit(scope, [due(379)])).toMatchObject({ ok: true })
    expect(await opened.state.commit(scope, [due(385)])).toMatchObject({ ok: true })
    const letter = put('letter', { value: 'x'.repeat(390 * 1024) })
    expect(await opened.state.commit(scope, [letter, { op: 'delete', kind: 'k', id: 'due' }])).toMatchObject({
      ok: true,
    })
  })
  it('a group of more events than a transaction takes items is sealed whole', async () => {
    const into = { kind: 'flush', idPrefix: 'many' }
    const more = { item: 'x', value: '{}', maxItems: 1000, maxBytes: 1e6, waitMs: 9, intervalMs: 9, into }
    const append = (itemId: string): Op => ({ op: 'append', id: 'many', itemId, ...more })
    await Promise.all(Array.from({ length: 150 }, (_, i) => opened.state.commit(scope, [append(`i${i}`)])))
    expect(await opened.state.commit(scope, [{ op: 'seal', id: 'many', into }])).toMatchObject({
      results: [{ n: 150 }],
    })
    const [flush] = await opened.state.get([{ kind: 'flush', scope, id: 'many1' }])
    expect((JSON.parse(flush!.value) as { items: unknown[] }).items).toHaveLength(150)
    expect(await opened.state.peek('buffer', scope, ['many'])).toEqual([undefined])
  })
  it('one commit at fault leaves those beside it alone', async () => {
    const large = put('large', { value: 'x'.repeat(397 * 1024) })
    const ends = await Promise.allSettled([
      opened.state.commit(scope, [put('left')]),
      opened.state.commit(scope, [large]),
      opened.state.commit(scope, [put('right')]),
    ])
    expect(ends.map((e) => e.status)).toEqual(['fulfilled', 'rejected', 'fulfilled'])
  })
  it('more records than a transaction takes are there when their commit is answered; those of a node that died are carried over', async () => {
    const at = ['faults', 'many records'] as const
    const rows = Array.from({ length: 150 }, () => plainRow(env.newId(), at))
    const [left, ...most] = rows
    expect(
      await opened.state.commit(
        at,
        most.map((row) => ({ op: 'record', row })),
      ),
    ).toMatchObject({ ok: true })
    const kept = async () => (await opened.audit.scan({ scope: at, match: {}, limit: 500, looks: 1000 })).rows.length
    expect(await kept()).toBe(149)
    const outbox = await opened.state.list(kinds.auditOutbox, ['', ''], { limit: 9 })
    expect(outbox.entries).toEqual([])
    // As such a commit leaves it, when its node dies before it has carried them over.
    await opened.state.commit(
      ['', ''],
      [put('left', { kind: kinds.auditOutbox, value: outboxText([left!, most[0]!]), dueAt: 0 })],
    )
    expect(await drainOutbox(opened.state, opened.audit, 'another', testEnv().log)).toBe(2)
    expect(await kept()).toBe(150)
    expect(await drainOutbox(opened.state, opened.audit, 'another', testEnv().log)).toBe(0)
  })
  it('a commit is done when its records cannot be carried over at once: they wait in the outbox', async () => {
    let refusing = true
    const { tables } = opened
    const before = await startBetween(db.url(), (operation, body) =>
      refusing && operation === 'TransactWriteItems' && body.includes(`"${tables.audit}"`) ? THROTTLED : undefined,
    )
    const one = await db.stores(env.clock, { endpoint: before.endpoint, tables, patience: IMPATIENT })
    const at = ['faults', 'spilled'] as const
    const rows = Array.from({ length: 60 }, () => plainRow(env.newId(), at))
    const ops = [
      ...Array.from({ length: 45 }, (_, i) => put(`e${i}`)),
      ...rows.map((row): Op => ({ op: 'record', row })),
    ]
    expect(await one.state.commit(at, ops)).toMatchObject({ ok: true })
    expect((await one.state.list('k', at, { limit: 99 })).entries).toHaveLength(45)
    refusing = false
    await env.clock.advance(31_000)
    expect(await drainOutbox(one.state, one.audit, 'another', testEnv().log)).toBe(60)
    expect((await one.audit.scan({ scope: at, match: {}, limit: 500, looks: 1000 })).rows).toHaveLength(60)
    await one.state.close()
    await before.close()
  })
  it('a record that is too large is refused as such, alone or among others, and one whose item is too large too', async () => {
    const { row } = record() as { row: AuditRow }
    const large = { ...row, id: env.newId(), json: JSON.stringify({ x: 'x'.repeat(400 * 1024) }) }
    await expect(opened.audit.append([row, large])).rejects.toThrow(StateTooLarge)
    // Beside its JSON it has columns, which nobody measures.
    const columns = { ...row, id: env.newId(), json: JSON.stringify('x'.repeat(370 * 1024)), rule: 'r'.repeat(50_000) }
    await expect(opened.audit.append([columns])).rejects.toThrow(StateTooLarge)
    await expect(opened.audit.append([row])).resolves.toBeUndefined()
  })
  it('what expires has its second for the sweeper, later than its own; work has none', async () => {
    const expiresAt = env.clock.now() + 5000
    await opened.state.commit(scope, [put('passing', { expiresAt }), put('staying', { dueAt: expiresAt, expiresAt })])
    const ttl = async (id: string) => {
      const Key = keyOf(entryName('k', scopeText(scope), id))
      const get = new GetItemCommand({ TableName: opened.tables.state, Key })
      return (await opened.client.once((d, o) => d.send(get, o))).Item?.['ttl']?.N
    }
    expect(Number(await ttl('passing'))).toBeGreaterThan(expiresAt / 1000)
    expect(await ttl('staying')).toBeUndefined()
  })
})

describe('at the start', () => {
  it.each([
    [{}, 'signalbox_state', 'signalbox_audit'],
    [{ prefix: 'p' }, 'p_state', 'p_audit'],
    [{ tableName: 'acteon_state' }, 'acteon_state', 'acteon_audit'],
    [{ auditTableName: 'acteon_audit' }, 'acteon_state', 'acteon_audit'],
    [{ tableName: 'acteon_audit' }, 'acteon_state', 'acteon_audit'],
    [{ tableName: 'mine', auditTableName: 'log' }, 'mine', 'log'],
    [{ tableName: 'mine' }, 'mine', 'mine_audit'],
  ])('tables by %j', (settings, state, audit) => expect(tablesOf(settings)).toEqual({ state, audit }))

  const ensure = async (endpoint: string, make: boolean, patience = IMPATIENT) => {
    const client = await db.client(endpoint, patience)
    try {
      await ensureTables(client, db.tables(), make, (ms) => db.wall.sleep(ms))
    } finally {
      client.close()
    }
  }
  it('a missing table, and a store that is not there, are one line', async () => {
    await expect(ensure(db.url(), false)).rejects.toThrow(
      /^there is no DynamoDB table "t\d+_state": signalbox migrate makes it$/,
    )
    await expect(ensure('http://127.0.0.1:1', true)).rejects.toThrow(/^DynamoDB does not do it: .*ECONNREFUSED.*$/)
  })
  it('a table with other keys is named with both schemas; one without an index is given it, or named', async () => {
    const client = await db.client()
    const tables = db.tables()
    const create = (TableName: string, keys: readonly string[]) =>
      client.once((d, o) =>
        d.send(
          new CreateTableCommand({
            TableName,
            BillingMode: 'PAY_PER_REQUEST',
            AttributeDefinitions: keys.map((AttributeName) => ({ AttributeName, AttributeType: 'S' })),
            KeySchema: keys.map((AttributeName, i) => ({ AttributeName, KeyType: i === 0 ? 'HASH' : 'RANGE' })),
          }),
          o,
        ),
      )
    const make = (on: boolean) => ensureTables(client, tables, on, (ms) => db.wall.sleep(ms))
    await create(tables.state, ['id'])
    await expect(make(true)).rejects.toThrow(
      `the DynamoDB table "${tables.state}" has the keys (id S HASH); signalbox needs (pk S HASH, sk S RANGE)`,
    )
    // As the guide's own set-up makes it: our keys, and no index.
    const guide = db.tables()
    Object.assign(tables, guide)
    await create(guide.state, ['pk', 'sk'])
    await expect(make(false)).rejects.toThrow(
      /has no index "due" \(dk S HASH, due N RANGE\): signalbox migrate makes it/,
    )
    await make(true)
    await make(false)
    client.close()
  })

  describe('a store that says no', () => {
    let server: Server
    let answers: string[] = []
    let asked = 0
    beforeAll(async () => {
      // Says what it is told to, then no more than that it is throttled.
      server = createServer((request, response) => {
        asked++
        request.resume().on('end', () => {
          const __type = answers.shift() ?? 'ProvisionedThroughputExceededException'
          response.writeHead(400, { 'content-type': 'application/x-amz-json-1.0' })
          response.end(
            JSON.stringify({ __type: `com.amazonaws.dynamodb.v20120810#${__type}`, message: 'says the store' }),
          )
        })
      })
      await new Promise<void>((done) => server.listen(0, '127.0.0.1', done))
    })
    afterAll(() => new Promise((done) => server.close(done)))
    const at = () => `http://127.0.0.1:${(server.address() as AddressInfo).port}`

    it('wrong credentials are one line', async () => {
      answers = ['UnrecognizedClientException']
      // On a busy machine the answer, which is given once, must not come too late.
      await expect(ensure(at(), true, { requestMs: 10_000, deadlineMs: 30_000 })).rejects.toThrow(
        /^DynamoDB does not do it: UnrecognizedClientException: says the store$/,
      )
    })
    it('a table that is gone while it serves: refused, whatever is asked', async () => {
      const { state, client, tables } = await db.stores(env.clock)
      await state.commit(scope, [put('first', { dueAt: 0 })])
      await client.once((d, o) => d.send(new DeleteTableCommand({ TableName: tables.state }), o))
      for (const ask of [
        () => state.commit(scope, [put('a')]),
        () => state.get([{ kind: 'k', scope, id: 'first' }]),
        () => state.list('k', scope, { limit: 1 }),
        () => state.claim('k', { owner: 'w', leaseMs: 1000, limit: 1 }),
      ])
        await expect(ask()).rejects.toThrow(
          /^DynamoDB does not do it: ResourceNotFoundException|^ResourceNotFoundException/,
        )
      expect(client.trouble).toMatch(/ResourceNotFound/)
      await state.close()
    })
    it('a throttled write: asked again; at the deadline nothing was done, and what was counted for it is taken back', async () => {
      let throttled = Number.POSITIVE_INFINITY
      const before = await startBetween(db.url(), (operation) =>
        operation === 'TransactWriteItems' && throttled-- > 0 ? THROTTLED : undefined,
      )
      const { endpoint } = before
      const { state } = await db.stores(env.clock, { endpoint, patience: IMPATIENT })
      answers = []
      const refused = state.commit(scope, [count('throttled', 9), put('throttled')])
      await expect(refused).rejects.toThrow(StateUnavailable)
      await expect(refused).rejects.toThrow(/Throughput/)
      expect((await state.peek('count', scope, ['throttled']))[0]?.n ?? 0).toBe(0)
      throttled = 2
      const [done] = [await state.commit(scope, [count('throttled', 9), put('throttled')])]
      expect(done).toEqual({ ok: true, results: [{ n: 1 }, {}] })
      expect(await state.get([{ kind: 'k', scope, id: 'throttled' }])).toMatchObject([{ value: 'value of throttled' }])
      await state.close()
      await before.close()
    })
    it('a throttled table is asked again with growing waits, until the deadline', async () => {
      const client = await db.client(at(), IMPATIENT)
      asked = 0
      const get = new GetItemCommand({ TableName: 't', Key: {} })
      await expect(client.read((d, o) => d.send(get, o))).rejects.toThrow(/Throughput/)
      expect(asked).toBeGreaterThan(3)
      expect(asked).toBeLessThan(30)
      expect(client.trouble).toMatch(/Throughput/)
      client.close()
    })
  })
})
