import { afterAll, describe, expect, it, vi } from 'vitest'
import { openStores } from '../../src/app/stores.ts'
import { monotonicClock, systemClock } from '../../src/core/clock.ts'
import { StateUnavailable } from '../../src/core/errors.ts'
import { systemRandom } from '../../src/core/ids.ts'
import { openDates } from '../../src/state/dynamodb/dates.ts'
import { openDynamo } from '../../src/state/dynamodb.ts'
import type { OpenTools, StoreSettings } from '../../src/state/opened.ts'
import { readText } from '../app/config/read.ts'
import { handsOver } from '../contract/hand-over.ts'
import { testEnv } from '../fakes/env.ts'
import { startProxy } from '../servers/proxy.ts'
import { dynamo } from './dynamodb-open.ts'

const db = dynamo()
const tools: OpenTools = {
  clock: systemClock(),
  random: systemRandom(),
  log: testEnv().log,
  auditElsewhere: false,
}
const settings = (more: Partial<StoreSettings>): StoreSettings => ({
  path: '',
  synchronous: 'full',
  url: undefined,
  listenUrl: undefined,
  region: 'us-east-1',
  tableName: undefined,
  prefix: undefined,
  durability: undefined,
  ...more,
})

describe('a store as a gateway opens it', () => {
  const closing: (() => Promise<void>)[] = []
  afterAll(async () => {
    for (const close of closing) await close()
  })

  it('makes its tables at an endpoint of its own, says where it lies, goes by the store\u2019s time', async () => {
    const opened = await openDynamo(settings({ url: db.url(), prefix: 'opened' }), tools)
    closing.push(() => opened.state.close())
    expect(opened.where).toBe(`DynamoDB tables opened_state and opened_audit at ${new URL(db.url()).host}`)
    expect(opened.trouble()).toBeUndefined()
    // On one machine the dates say nothing against its own clock.
    expect(Math.abs(opened.clockOffsetMs())).toBeLessThanOrEqual(50)
    expect(Math.abs(opened.clock.now() - monotonicClock().now())).toBeLessThanOrEqual(50)
    const put = { op: 'put', kind: 'k', id: 'a', value: 'x', version: 'v' } as const
    expect(await opened.state.commit(['a', 'b'], [put])).toMatchObject({ ok: true })
    const again = await openDynamo(settings({ url: db.url(), prefix: 'opened' }), tools)
    closing.push(() => again.state.close())
    expect(await again.state.get([{ kind: 'k', scope: ['a', 'b'], id: 'a' }])).toMatchObject([{ value: 'x' }])
  })
  it('hands over what it has written for an audit elsewhere', () =>
    handsOver((handOver) =>
      openDynamo(settings({ url: db.url(), prefix: 'handing' }), { ...tools, auditElsewhere: true, handOver }),
    ))
  it('an audit with a prefix of its own lies apart from the state', async () => {
    const { state, audit } = readText(`[state]
backend = "dynamodb"
url = "${db.url()}"
region = "us-east-1"
prefix = "one"

[audit]
prefix = "two"

[[providers]]
name = "console"
type = "log"
`).config!
    const stores = await openStores({ state, audit }, { ...tools, migrate: true })
    closing.push(() => stores.close())
    expect(stores.where).toMatch(/^State in .* one_state .*, audit in .* two_audit /)
  })
  it('is in trouble while it does not reach the store, and out of it by itself', async () => {
    const proxy = await startProxy({ port: Number(new URL(db.url()).port) })
    closing.push(() => proxy.close())
    const opened = await openDynamo(settings({ url: `http://127.0.0.1:${proxy.port}`, prefix: 'trouble' }), tools)
    closing.unshift(() => opened.state.close())
    proxy.down()
    await expect(opened.state.get([{ kind: 'k', scope: ['a', 'b'], id: 'a' }])).rejects.toThrow(StateUnavailable)
    expect(opened.trouble()).toBeDefined()
    proxy.up()
    expect(await opened.state.get([{ kind: 'k', scope: ['a', 'b'], id: 'a' }])).toEqual([undefined])
    expect(opened.trouble()).toBeUndefined()
  })
  it('is refused in one line where nobody listens, or no region is named', async () => {
    const why = (more: Partial<StoreSettings>) => expect(openDynamo(settings(more), tools)).rejects
    await why({ url: 'http://127.0.0.1:1' }).toThrow(/^DynamoDB [^\n]*ECONNREFUSED[^\n]*$/)
    for (const url of ['127.0.0.1:8000', 'redis://127.0.0.1', 'nowhere', ''])
      await why({ url }).toThrow(/^state\.url is no address of a DynamoDB: https?:\/\/host:port$/)
    vi.stubEnv('AWS_REGION', undefined)
    vi.stubEnv('AWS_DEFAULT_REGION', undefined)
    await why({ region: undefined }).toThrow(/^state\.region is missing[^\n]*$/)
    vi.unstubAllEnvs()
  })
})

describe('the time by the dates of answers', () => {
  /** Answers of a store whose clock is so much ahead, asked for now and then. */
  function seen(aheadMs: number, moments: readonly number[], roundTripMs = 20): number | undefined {
    const dates = openDates()
    for (const at of moments) {
      const theirs = at + roundTripMs / 2 + aheadMs
      dates.seen(Math.floor(theirs / 1000) * 1000, at, at + roundTripMs)
    }
    return dates.offset()
  }
  const often = Array.from({ length: 100 }, (_, i) => 1_000_000 + i * 137)

  it('says nothing before it has seen one', () => expect(openDates().offset()).toBeUndefined())
  it('believes the machine as long as the dates do', () => {
    for (const ahead of [-9, 0, 9]) expect(seen(ahead, often)).toBe(0)
    expect(seen(400, [1_000_000])).toBe(0)
  })
  it('finds a difference, the closer the more it has seen', () => {
    for (const ahead of [-70_000, -900, -300, 300, 900, 70_000]) {
      expect(Math.abs(seen(ahead, [1_000_000])! - ahead)).toBeLessThanOrEqual(1020)
      expect(Math.abs(seen(ahead, often)! - ahead)).toBeLessThanOrEqual(50)
    }
  })
  it('follows a clock that was set', () => {
    const dates = openDates()
    for (const at of often) dates.seen(Math.floor((at + 10) / 1000) * 1000, at, at + 20)
    expect(dates.offset()).toBe(0)
    const later = often.map((at) => at + 100_000)
    for (const at of later) dates.seen(Math.floor((at + 10 + 5000) / 1000) * 1000, at, at + 20)
    expect(Math.abs(dates.offset()! - 5000)).toBeLessThanOrEqual(50)
  })
})
