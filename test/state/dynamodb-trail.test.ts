import {
  DeleteItemCommand,
  DescribeTimeToLiveCommand,
  ScanCommand,
  UpdateTimeToLiveCommand,
} from '@aws-sdk/client-dynamodb'
import { expect, it, vi } from 'vitest'
import { auditRow } from '../../src/core/audit.ts'
import { isoTime } from '../../src/core/clock.ts'
import { ensureTables } from '../../src/state/dynamodb/tables.ts'
import { type TestEnv, testEnv } from '../fakes/env.ts'
import { dynamo } from './dynamodb-open.ts'

vi.setConfig({ testTimeout: 60_000 })
const db = dynamo()
const HOUR = 3_600_000
const DAY = 24 * HOUR
const page = { limit: 100, maxChars: 1e6 }
type Opened = Awaited<ReturnType<typeof db.stores>>

function trail(env: TestEnv) {
  const scope = ['n', 't'] as const
  let n = 0
  /** Answers its number. */
  async function write({ audit }: Opened): Promise<string> {
    await env.clock.advance(1) // of one moment any may be first
    const action_id = String(++n)
    const at = isoTime(env.clock.now())
    const more = { action_id, run_id: 'r', action_type: 'x', outcome: 'executed', duration_ms: 0 }
    await audit.append([
      auditRow({
        id: env.newId(),
        kind: 'dispatch',
        namespace: scope[0],
        tenant: scope[1],
        received_at: at,
        completed_at: at,
        ...more,
      }),
    ])
    return action_id
  }
  async function read({ audit }: Opened, after: string | undefined) {
    const { rows, next, missed } = await audit.follow({ ...page, after })
    return { ids: rows.map((r) => (JSON.parse(r.json) as { action_id: string }).action_id), next, missed }
  }
  const items = async ({ client, tables }: Opened) =>
    (await client.once((d, o) => d.send(new ScanCommand({ TableName: tables.audit }), o))).Items ?? []
  /** As DynamoDB does, in no order. */
  async function sweep(opened: Opened): Promise<void> {
    for (const { pk, sk, ttl } of await items(opened))
      if (ttl !== undefined && Number(ttl.N) * 1000 < env.clock.now()) {
        const gone = new DeleteItemCommand({ TableName: opened.tables.audit, Key: { pk: pk!, sk: sk! } })
        await opened.client.once((d, o) => d.send(gone, o))
      }
  }
  return { scope, write, read, items, sweep }
}

it('both tables have their time to live, also those that were made without', async () => {
  const { clock } = testEnv()
  const { client, tables, state } = await db.stores(clock)
  const status = async (TableName: string) =>
    (await client.once((d, o) => d.send(new DescribeTimeToLiveCommand({ TableName }), o))).TimeToLiveDescription
  const on = { TimeToLiveStatus: 'ENABLED', AttributeName: 'ttl' }
  expect([await status(tables.state), await status(tables.audit)]).toEqual([on, on])
  const off = { Enabled: false, AttributeName: 'ttl' }
  await client.once((d, o) =>
    d.send(new UpdateTimeToLiveCommand({ TableName: tables.audit, TimeToLiveSpecification: off }), o),
  )
  await ensureTables(client, tables, false, async () => {})
  expect(await status(tables.audit)).toEqual({ TimeToLiveStatus: 'DISABLED' })
  await ensureTables(client, tables, true, async () => {})
  expect(await status(tables.audit)).toEqual(on)
  await state.close()
})

it('gateways that have ended are forgotten: positions do not grow with each start, nor what a look asks for', async () => {
  const env = testEnv()
  const { write, read, items, sweep } = trail(env)
  const first = await db.stores(env.clock)
  await write(first)
  for (let i = 0; i < 12; i++) {
    const started = await db.stores(env.clock, { tables: first.tables })
    await write(started)
    await started.state.close()
  }
  const all = await read(first, undefined)
  expect(all.next.split('~')).toHaveLength(14)
  await env.clock.advance(3 * HOUR)
  const later = await read(first, all.next)
  expect(later).toMatchObject({ ids: [], missed: undefined })
  expect(later.next.split('~')).toHaveLength(1)
  const sent = first.client.sent
  await env.clock.advance(1000)
  await read(first, later.next)
  expect(first.client.sent - sent).toBeLessThanOrEqual(2)
  const id = await write(first)
  expect((await read(first, later.next)).ids).toEqual([id])
  await env.clock.advance(10 * DAY)
  await sweep(first)
  // Records and their scope stay, and nothing else.
  expect((await items(first)).filter((i) => i['json'] === undefined)).toHaveLength(1)
  await first.state.close()
})

it('a position that names gateways which have ended is good for two days, then it is said not to be known', async () => {
  const env = testEnv()
  const { write, read, sweep } = trail(env)
  const dead = await db.stores(env.clock)
  const alive = await db.stores(env.clock, { tables: dead.tables })
  const { next: begin } = await read(alive, undefined)
  const ids = [await write(dead), await write(alive), await write(dead)]
  await env.clock.advance(1000)
  const half = await alive.audit.follow({ ...page, limit: 2, after: begin })
  await dead.state.close()
  await env.clock.advance(2 * DAY - HOUR)
  await sweep(alive)
  const last = await write(alive)
  expect(await read(alive, half.next)).toMatchObject({ ids: [ids[2], last], missed: undefined })
  expect(await read(alive, begin)).toMatchObject({ ids: [...ids, last], missed: undefined })
  await env.clock.advance(3 * HOUR)
  await sweep(alive)
  const end = await read(alive, undefined)
  for (const old of [half.next, begin])
    expect(await read(alive, old)).toEqual({ ids: [], next: end.next, missed: { why: 'unknown' } })
  await alive.state.close()
})

it('who follows while nothing happens for a week is told nothing, and misses nothing', async () => {
  const env = testEnv()
  const { write, read, sweep } = trail(env)
  const one = await db.stores(env.clock)
  const other = await db.stores(env.clock, { tables: one.tables })
  await write(one)
  await write(other)
  let at = (await read(one, undefined)).next
  for (let i = 0; i < 7 * 24; i += 5) {
    await env.clock.advance(5 * HOUR)
    await sweep(one)
    const seen = await read(i % 2 === 0 ? one : other, at)
    expect(seen).toMatchObject({ ids: [], missed: undefined })
    at = seen.next
  }
  // Those who were silent go on under new names, from where who follows has come to.
  const ids = [await write(other), await write(one), await write(other)]
  expect(await read(one, at)).toMatchObject({ ids, missed: undefined })
  await Promise.all([one.state.close(), other.state.close()])
})

it('a gateway that is silent for hours and writes again is followed on, from positions before and after', async () => {
  const env = testEnv()
  const { write, read } = trail(env)
  const one = await db.stores(env.clock)
  const begin = (await read(one, undefined)).next
  const ids = [await write(one), await write(one)]
  const before = (await read(one, begin)).next
  await env.clock.advance(90 * 60_000)
  ids.push(await write(one))
  const between = (await read(one, before)).next
  await env.clock.advance(6 * HOUR)
  const silent = (await read(one, between)).next
  ids.push(await write(one))
  const from = [begin, before, between, silent]
  const seen = [ids, ids.slice(2), ids.slice(3), ids.slice(3)]
  for (const [i, at] of from.entries()) expect(await read(one, at)).toMatchObject({ ids: seen[i], missed: undefined })
  await one.state.close()
})

it('one gateway far ahead of another in the pages of a look takes nothing from it', async () => {
  const env = testEnv()
  const { write, read } = trail(env)
  const one = await db.stores(env.clock)
  const two = await db.stores(env.clock, { tables: one.tables })
  const begin = (await read(one, undefined)).next
  const ids: string[] = []
  // More than a look reads of one gateway, in a time in which the other writes seldom.
  for (let i = 0; i < 250; i++) {
    await env.clock.advance(60_000)
    ids.push(await write(one))
    if (i % 50 === 0) ids.push(await write(two))
  }
  const seen: string[] = []
  for (let at = begin; ; ) {
    const { ids: some, next, missed } = await read(two, at)
    expect(missed).toBeUndefined()
    if (some.length === 0) break
    seen.push(...some)
    at = next
  }
  expect(seen).toEqual(ids)
  await Promise.all([one.state.close(), two.state.close()])
})

it('what was purged is told while it can be followed; the note of it does not grow with each start', async () => {
  const env = testEnv()
  const { scope, write, read, items } = trail(env)
  const first = await db.stores(env.clock)
  const begin = (await read(first, undefined)).next
  const fields = async () =>
    (await items(first)).flatMap((item) => Object.keys(item).filter((name) => name.startsWith('p:'))).length
  const purge = async () => (await first.audit.purge(scope, { below: '~', completedBefore: '~' }, 1000)).gone
  for (let i = 0; i < 5; i++) {
    const started = await db.stores(env.clock, { tables: first.tables })
    await write(started)
    await started.state.close()
  }
  expect(await purge()).toBe(5)
  expect(await fields()).toBe(5)
  expect(await read(first, begin)).toMatchObject({ ids: [], missed: { why: 'purged' } })
  await env.clock.advance(4 * DAY)
  await write(first)
  const end = (await read(first, undefined)).next
  expect(await purge()).toBe(1)
  expect(await fields()).toBe(1)
  expect((await read(first, end)).missed).toBeUndefined()
  // Those of gateways that nobody can follow any more are not noted at all.
  await write(first)
  await env.clock.advance(4 * DAY)
  expect(await purge()).toBe(1)
  expect(await fields()).toBe(0)
  await first.state.close()
})
