import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest'
import type { Scope } from '../../src/core/action.ts'
import { systemClock } from '../../src/core/clock.ts'
import { StateUnavailable, StateUnknown } from '../../src/core/errors.ts'
import { seededRandom, uuidv7Source } from '../../src/core/ids.ts'
import type { Op, StateStore } from '../../src/core/state.ts'
import { type Link, openLink } from '../../src/state/redis/link.ts'
import { scopeLine, tagOf } from '../../src/state/redis/text.ts'
import { SOON } from '../fakes/soon.ts'
import { withoutRedis } from '../servers/redis.ts'
import { type Master, type RedisCluster, startRedisCluster } from '../servers/redis-cluster.ts'
import { redisStore } from './redis-store.ts'

const clock = systemClock()
const random = seededRandom(7)
const env = { clock, random, newId: uuidv7Source(clock.now, random) }
const put = (id: string): Op => ({ op: 'put', kind: 'work', id, value: '', version: env.newId(), ifVersion: null })
const EVICTS = 'the maxmemory-policy of Redis is allkeys-lru, which would delete held actions: set it to noeviction'

describe.skipIf(withoutRedis())('a Redis Cluster of several masters', () => {
  let cluster: RedisCluster
  let state: StateStore
  let link: Link
  /** One of them, with what is asked of it, and a scope of another one. */
  let master: Master
  let here: Scope
  let there: Scope
  let n = 0
  beforeAll(async () => {
    cluster = await startRedisCluster(3)
    master = cluster.masters[1]!
    const scopes = await Promise.all(
      Array.from({ length: 30 }, async (_, i): Promise<[Scope, number]> => {
        const scope: Scope = ['nodes', `tenant ${i}`]
        return [scope, await slotOf(scope)]
      }),
    )
    const on = ([, slot]: [Scope, number]): boolean => slot >= master.slots[0] && slot <= master.slots[1]
    here = scopes.find(on)![0]
    there = scopes.find((s) => !on(s))![0]
    const opened = await redisStore(cluster.url, env, { commandTimeoutMs: 1000 })
    state = opened.state
    link = opened.link
    // Before anything else: nobody has waited for a connection.
    const first = await Promise.allSettled(scopes.map(([scope]) => state.commit(scope, [put('first')])))
    expect(first.filter((f) => f.status === 'rejected')).toEqual([])
  })
  afterAll(async () => {
    await state.close()
    await cluster.stop()
  })
  const slotOf = async (scope: Scope): Promise<number> =>
    (await cluster.masters[0]!.admin.call('CLUSTER', 'KEYSLOT', `{${tagOf(scopeLine(scope))}}`)) as number
  const commit = (scope: Scope, id = `${++n}`) => state.commit(scope, [put(id)])
  const ok = async (scope: Scope) => expect(await commit(scope)).toMatchObject({ ok: true })
  const back = () => vi.waitUntil(() => link.trouble() === undefined, SOON)

  it('a connection that says nothing any more is given up, and a new one is used; the other nodes work on', async () => {
    master.proxy.forget()
    await expect(commit(here)).rejects.toThrow(StateUnknown)
    expect(link.trouble()).toBe(`the connection to Redis at 127.0.0.1:${master.proxy.port} is lost`)
    await expect(commit(here)).rejects.toThrow(StateUnavailable)
    await ok(there)
    await back()
    await ok(here)
  })

  it('a node that is gone: nothing is sent to it, and it is found again by itself', async () => {
    master.proxy.down()
    await vi.waitUntil(() => link.trouble() !== undefined, SOON)
    for (let i = 0; i < 20; i++) {
      await expect(commit(here)).rejects.toThrow(StateUnavailable)
      await ok(there)
    }
    master.proxy.up()
    await back()
    await ok(here)
  })

  it('what is due on the other nodes is claimed meanwhile; where nothing is, the one that is away is not taken for empty', async () => {
    const due = (scope: Scope) => state.commit(scope, [{ ...put('due'), kind: 'due', dueAt: clock.now() } as Op])
    const claim = () => state.claim('due', { owner: 'me', leaseMs: 30_000, limit: 10 })
    for (const scope of [here, there]) expect(await due(scope)).toMatchObject({ ok: true })
    master.proxy.down()
    await vi.waitUntil(() => link.trouble() !== undefined, SOON)
    expect((await claim()).map((e) => e.key.scope)).toEqual([there])
    await expect(claim()).rejects.toThrow(StateUnavailable)
    master.proxy.up()
    await back()
    expect((await claim()).map((e) => e.key.scope)).toEqual([here])
    expect(await claim()).toEqual([])
  })

  it('each node is looked at on each new connection', async () => {
    await master.admin.config('SET', 'maxmemory-policy', 'allkeys-lru')
    master.proxy.cut()
    await vi.waitUntil(() => link.trouble()?.includes('maxmemory-policy'), SOON)
    await expect(commit(here)).rejects.toThrow(
      new StateUnavailable(`cannot use Redis at 127.0.0.1:${master.proxy.port}: ${EVICTS}`),
    )
    await ok(there)
    await master.admin.config('SET', 'maxmemory-policy', 'noeviction')
    await back()
    await ok(here)
  })

  it('each node is looked at when it is opened, and must be there', async () => {
    const open = () =>
      openLink({ url: cluster.url, durability: 'everysec', clock, random, commandTimeoutMs: 1000 }).then((l) =>
        l.close(),
      )
    const at = `cannot use Redis at 127.0.0.1:${master.proxy.port}: `
    await open()
    await master.admin.config('SET', 'maxmemory-policy', 'allkeys-lru')
    await expect(open()).rejects.toThrow(new StateUnavailable(at + EVICTS))
    await master.admin.config('SET', 'maxmemory-policy', 'noeviction')
    await master.admin.config('SET', 'appendonly', 'no')
    await expect(open()).rejects.toThrow(`${at}[state].durability is "everysec", but this Redis keeps "none"`)
    await master.admin.config('SET', 'appendonly', 'yes')
    master.proxy.down()
    // Which of them is asked first for the others is a matter of chance, and so is who is named.
    await expect(open()).rejects.toThrow(/^cannot use Redis at 127\.0\.0\.1:\d+: [^\n]+$/)
    master.proxy.up()
    await vi.waitFor(() => ok(here), SOON)
  })

  it('a slot on its way to another node: refused until it is there, as half of what it has would be taken for absent', async () => {
    await commit(here, 'moves')
    const slot = String(await slotOf(here))
    const to = cluster.masters[2]!
    await to.admin.call('CLUSTER', 'SETSLOT', slot, 'IMPORTING', master.id)
    await master.admin.call('CLUSTER', 'SETSLOT', slot, 'MIGRATING', to.id)
    await expect(commit(here, 'moves')).rejects.toThrow(StateUnavailable)
    const keys = (await master.admin.call('CLUSTER', 'GETKEYSINSLOT', slot, '1000')) as string[]
    const { password } = new URL(cluster.url)
    const target = ['127.0.0.1', String(to.server.port), '', '0', '5000', 'AUTH', password, 'KEYS']
    await master.admin.call('MIGRATE', ...target, ...keys)
    await expect(commit(here, 'moves')).rejects.toThrow(StateUnavailable)
    for (const { admin } of [to, master]) await admin.call('CLUSTER', 'SETSLOT', slot, 'NODE', to.id)
    expect(await commit(here, 'moves')).toMatchObject({ ok: false })
    await ok(here)
  })
})
