import { Redis as Client } from 'ioredis'
import { afterAll, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest'
import type { Scope } from '../../src/core/action.ts'
import { systemClock } from '../../src/core/clock.ts'
import { StateUnavailable, StateUnknown } from '../../src/core/errors.ts'
import { seededRandom, uuidv7Source } from '../../src/core/ids.ts'
import type { Op, StateStore } from '../../src/core/state.ts'
import type { Link } from '../../src/state/redis/link.ts'
import { SOON } from '../fakes/soon.ts'
import { startProxy, type TcpProxy } from '../servers/proxy.ts'
import { type Redis, startRedis, withoutRedis } from '../servers/redis.ts'
import { redisStore } from './redis-store.ts'

const clock = systemClock()
const random = seededRandom(7)
const env = { clock, random, newId: uuidv7Source(clock.now, random) }
const put = (id: string, more: Partial<Extract<Op, { op: 'put' }>> = {}): Op => ({
  op: 'put',
  kind: 'work',
  id,
  value: `value of ${id}`,
  version: env.newId(),
  ...more,
})

describe.skipIf(withoutRedis())('a Redis in trouble', () => {
  let server: Redis
  let admin: Client
  let proxy: TcpProxy
  let state: StateStore
  let link: Link
  let scope: Scope
  let n = 0
  beforeAll(async () => {
    server = await startRedis({ appendfsync: 'always' })
    admin = new Client(server.url)
    // It ends when the server does; each test that asks it has a server again.
    admin.on('error', () => {})
    proxy = await startProxy({ port: server.port })
    const opened = await redisStore(proxy.url(server.url), env, {
      durability: 'always',
      commandTimeoutMs: 1000,
      servers: true,
    })
    state = opened.state
    link = opened.link
  })
  afterAll(async () => {
    await state.close()
    admin.disconnect()
    await proxy.close()
    await server.stop()
  })
  beforeEach(() => {
    scope = ['faults', `tenant ${++n}`]
  })
  const ok = async (...ops: Op[]) => expect(await state.commit(scope, ops)).toMatchObject({ ok: true })
  const value = async (id: string) => (await state.get([{ kind: 'work', scope, id }]))[0]?.value
  const back = () => vi.waitUntil(() => link.trouble() === undefined, SOON)

  it('is gone: nothing is done, nothing hangs, and it is found again by itself', async () => {
    await ok(put('before'))
    proxy.down()
    await vi.waitUntil(() => link.trouble() !== undefined, SOON)
    await expect(state.commit(scope, [put('a')])).rejects.toThrow(StateUnavailable)
    await expect(state.get([{ kind: 'work', scope, id: 'a' }])).rejects.toThrow(StateUnavailable)
    await expect(state.claim('work', { owner: 'w', leaseMs: 1000, limit: 1 })).rejects.toThrow(StateUnavailable)
    for (const ask of [() => state.nextDue('work'), () => state.depths(), () => state.scopes('work', { limit: 1 })])
      await expect(ask()).rejects.toThrow(StateUnavailable)
    proxy.up()
    await back()
    expect([await value('before'), await value('a')]).toEqual(['value of before', undefined])
    await ok(put('a'))
  })

  it('says nothing any more: unknown after a while, and known to be away from then on', async () => {
    proxy.blackHole()
    await expect(state.commit(scope, [put('a')])).rejects.toThrow(StateUnknown)
    await expect(state.commit(scope, [put('b')])).rejects.toThrow(StateUnavailable)
    proxy.up()
    await back()
    expect([await value('a'), await value('b')]).toEqual([undefined, undefined])
    await ok(put('a'))
  })

  it('PITFALLS 61: loses an answer: the commit is unknown and done once, a read was nothing', async () => {
    const evalsha = { request: (data: Buffer) => /evalsha/i.test(data.toString('latin1')) }
    const lost = proxy.loseReply(evalsha)
    await expect(state.commit(scope, [put('a', { version: 'mine', ifVersion: null })])).rejects.toThrow(StateUnknown)
    await lost
    await back()
    expect(await state.commit(scope, [put('a', { version: 'mine', ifVersion: null })])).toMatchObject({
      ok: false,
      saw: { version: 'mine' },
    })
    void proxy.loseReply({ request: (data) => /mget/i.test(data.toString('latin1')) })
    await expect(value('a')).rejects.toThrow(StateUnavailable)
    await back()
    void proxy.loseReply(evalsha)
    await expect(state.list('work', scope, { limit: 9 })).rejects.toThrow(StateUnavailable)
    await back()
  })

  it('was frozen, and goes on when the caller has given up: what was asked long ago is not done any more', async () => {
    server.freeze(true)
    await expect(state.commit(scope, [put('a')])).rejects.toThrow(StateUnknown)
    server.freeze(false)
    await back()
    expect(await value('a')).toBeUndefined()
    await ok(put('a', { ifVersion: null }))
  })

  it('is slow to reach: an admission counts from when it was decided, not from when it was asked for', async () => {
    const admit: Op = { op: 'admit', id: 'w', max: 1, windowMs: 600_000 }
    proxy.delay(300)
    const asked = clock.now()
    await ok(admit)
    proxy.delay(0)
    const refused = await state.commit(scope, [admit])
    expect(refused.ok ? 0 : refused.retryAt! - 600_000 - asked).toBeGreaterThan(250)
  })

  it('loses the answer to a claim: the entry comes back, counted', async () => {
    await ok(put('a', { dueAt: 1 }))
    const claim = () => state.claim('work', { owner: 'w', leaseMs: 1, limit: 9 })
    const took = { request: (data: Buffer) => data.includes('leaseless') }
    const lost = proxy.loseReply(took)
    await expect(state.claim('work', { owner: 'leaseless', leaseMs: 1, limit: 9 })).rejects.toThrow(StateUnknown)
    await lost
    await back()
    await vi.waitFor(async () => expect(await claim()).toMatchObject([{ key: { id: 'a' }, attempts: 2 }]), SOON)
    await ok({ op: 'delete', kind: 'work', id: 'a' })
  })

  it('is killed: what was answered is there, what is asked meanwhile is refused, and the scripts are learned anew', async () => {
    const answered: string[] = []
    let next = 0
    const writing = Array.from({ length: 8 }, async () => {
      for (;;) {
        const id = `e${next++}`
        try {
          await state.commit(scope, [put(id), { op: 'count', id: 'n', by: 1, expiresAt: 1e15 }])
          answered.push(id)
        } catch (e) {
          expect(e instanceof StateUnavailable || e instanceof StateUnknown).toBe(true)
          return
        }
      }
    })
    await vi.waitUntil(() => answered.length > 200, SOON)
    await server.kill()
    await Promise.all(writing)
    await expect(state.commit(scope, [put('meanwhile')])).rejects.toThrow(StateUnavailable)
    await server.again()
    await back()
    const found = await state.get(answered.map((id) => ({ kind: 'work', scope, id })))
    expect(found.filter((e) => e === undefined)).toEqual([])
    const [counted] = await state.peek('count', scope, ['n'])
    const { entries } = await state.list('work', scope, { limit: 10_000 })
    // Both halves of each commit, or neither.
    expect(counted?.n).toBe(entries.length)
    expect(await value('meanwhile')).toBeUndefined()
  })

  it('is another one than before when it comes back: it is looked at again', async () => {
    await admin.config('SET', 'appendfsync', 'everysec')
    proxy.cut()
    await vi.waitUntil(() => link.trouble()?.includes('[state].durability is "always"'), SOON)
    await expect(state.commit(scope, [put('a')])).rejects.toThrow('[state].durability is "always"')
    await admin.config('SET', 'appendfsync', 'always')
    await back()
    await ok(put('a'))
  })

  it('has become a replica: refused, and nothing is written', async () => {
    await admin.call('REPLICAOF', '127.0.0.1', '1')
    await expect(state.commit(scope, [put('a')])).rejects.toThrow(StateUnavailable)
    await vi.waitUntil(() => link.trouble()?.includes('replica'), SOON)
    await admin.call('REPLICAOF', 'NO', 'ONE')
    await back()
    await ok(put('a'))
  })

  it('is full: refused whole, nothing half-written, and what frees memory is done', async () => {
    await ok(put('old'), put('held'), { op: 'count', id: 'n', by: 1, expiresAt: 1e15 })
    await admin.config('SET', 'maxmemory', '1mb')
    const all: Op[] = [
      { op: 'delete', kind: 'work', id: 'held' },
      put('a', { tags: ['t'], dueAt: 1 }),
      { op: 'count', id: 'n', by: 1, expiresAt: 1e15 },
      { op: 'admit', id: 'w', max: 9, windowMs: 1000 },
    ]
    await expect(state.commit(scope, all)).rejects.toThrow(new StateUnavailable('Redis: it is full (maxmemory)'))
    for (const op of all.slice(1)) await expect(state.commit(scope, [op])).rejects.toThrow(StateUnavailable)
    expect([await value('a'), await value('held')]).toEqual([undefined, 'value of held'])
    expect(await state.peek('count', scope, ['n'])).toMatchObject([{ n: 1 }])
    expect((await state.list('work', scope, { limit: 9, tag: 't' })).entries).toEqual([])
    // Together with one that is refused.
    const both = await Promise.allSettled([
      state.commit(scope, [put('b')]),
      state.commit(scope, [{ op: 'delete', kind: 'work', id: 'old' }]),
    ])
    expect(both.map((r) => r.status)).toEqual(['rejected', 'fulfilled'])
    expect(link.trouble()).toBeUndefined()
    await admin.config('SET', 'maxmemory', '0')
    expect(await state.commit(scope, all)).toMatchObject({ ok: true, results: [{}, {}, { n: 2 }, { n: 1 }] })
    expect(await value('old')).toBeUndefined()
  })

  it('is given what is no number: that commit is refused, and the others with it are done', async () => {
    const both = await Promise.allSettled([
      state.commit(scope, [put('a'), put('b', { dueAt: Number.NaN })]),
      state.commit(scope, [put('c'), { op: 'count', id: 'n', by: 1, expiresAt: 1e15 }]),
    ])
    expect(both.map((r) => r.status)).toEqual(['rejected', 'fulfilled'])
    expect((await state.list('work', scope, { limit: 9 })).entries.map((e) => e.key.id)).toEqual(['c'])
    expect(await state.peek('count', scope, ['n'])).toMatchObject([{ n: 1 }])
  })

  it('is slow to take a connection back: calls never wait for it', async () => {
    proxy.down()
    await vi.waitUntil(() => link.trouble() !== undefined, SOON)
    const many = await Promise.allSettled(Array.from({ length: 500 }, (_, i) => state.commit(scope, [put(`m${i}`)])))
    expect(many.every((r) => r.status === 'rejected' && r.reason instanceof StateUnavailable)).toBe(true)
    proxy.up()
    await back()
    expect((await state.list('work', scope, { limit: 9 })).entries).toEqual([])
  })
})
