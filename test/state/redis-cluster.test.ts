import { Redis as Client } from 'ioredis'
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest'
import { systemClock } from '../../src/core/clock.ts'
import { StateUnavailable, StateUnknown } from '../../src/core/errors.ts'
import { seededRandom, uuidv7Source } from '../../src/core/ids.ts'
import { openLink } from '../../src/state/redis/link.ts'
import { scopeLine, TAGS, tagOf } from '../../src/state/redis/text.ts'
import { stateContract } from '../contract/state.contract.ts'
import { SOON } from '../fakes/soon.ts'
import { type Redis, startRedis, withoutRedis } from '../servers/redis.ts'
import { laterThanOldest } from './redis-since.ts'
import { redisStore } from './redis-store.ts'

describe('hash tags', () => {
  it('is the CRC16 that a cluster takes, modulo 64', () => {
    // The check value of CRC-16/XMODEM, which Redis Cluster uses.
    expect(tagOf('123456789')).toBe(0x31c3 % 64)
    expect(tagOf('')).toBe(0)
  })
  it('spread scopes over all tags', () => {
    const tags = Array.from({ length: 2000 }, (_, i) => tagOf(scopeLine(['default', `tenant-${i}`])))
    expect(new Set(tags).size).toBe(TAGS)
  })
})

/** A cluster refuses a script whose named keys are in several slots, and every command whose keys are; what a script makes of its key is looked at below. */
describe.skipIf(withoutRedis())('redis cluster', () => {
  let server: Redis
  let admin: Client
  beforeAll(async () => {
    server = await startRedis({ settings: ['--cluster-enabled', 'yes', '--cluster-announce-ip', '127.0.0.1'] })
    admin = new Client(server.url)
    // One of the tests kills the server under it.
    admin.on('error', () => {})
    await admin.call('CLUSTER', 'ADDSLOTSRANGE', '0', '16383')
    // An empty cluster waits two seconds before it takes anything.
    const ready = async () => ((await admin.call('CLUSTER', 'INFO')) as string).includes('cluster_state:ok')
    await vi.waitUntil(ready, SOON)
    await admin.config('RESETSTAT')
  })
  afterAll(async () => {
    admin.disconnect()
    await server.stop()
  })

  stateContract('redis cluster', async (env) => {
    const { state, link } = await redisStore(server.url, env)
    expect(link.cluster).toBe(true)
    return state
  })

  it('was asked for nothing by the contract that came after Redis 6.2', async () => {
    const { seen, later } = await laterThanOldest(admin)
    expect(seen).toBeGreaterThan(25)
    expect(later).toEqual([])
    // What it has just been asked itself, by which this is known.
    expect((await laterThanOldest(admin)).later).toEqual(['command|docs: 7.0.0'])
  })
  it('has every key of a scope in one slot', async () => {
    const names = (await admin.keys('*')) as string[]
    expect(names.length).toBeGreaterThan(500)
    const slots = new Map<string, Set<number>>()
    for (const name of names) {
      const tag = /^[^{]*\{(\d+)\}:/.exec(name)?.[1]
      expect(tag, name).toBeDefined()
      const slot = (await admin.call('CLUSTER', 'KEYSLOT', name)) as number
      slots.set(tag!, (slots.get(tag!) ?? new Set()).add(slot))
    }
    expect([...slots.values()].map((s) => s.size)).toEqual([...slots].map(() => 1))
    expect(slots.size).toBeGreaterThan(TAGS / 2)
  })

  it('names itself wrongly: refused, not waited for', async () => {
    await admin.config('SET', 'cluster-announce-ip', '')
    const clock = systemClock()
    const link = openLink({ url: server.url, durability: 'everysec', clock, random: seededRandom(1) })
    await expect(link).rejects.toThrow('the nodes that its cluster names cannot be reached')
    await admin.config('SET', 'cluster-announce-ip', '127.0.0.1')
  })

  it('is killed and comes back', async () => {
    const clock = systemClock()
    const random = seededRandom(3)
    const newId = uuidv7Source(clock.now, random)
    const { state, link } = await redisStore(server.url, { clock, random, newId }, { commandTimeoutMs: 1000 })
    const put = (id: string) =>
      state.commit(['a', 'b'], [{ op: 'put', kind: 'k', id, value: 'v', version: newId(), ifVersion: null }])
    expect(await put('1')).toMatchObject({ ok: true })
    await server.kill()
    const failed = await put('2').catch((e: unknown) => e)
    expect(failed instanceof StateUnavailable || failed instanceof StateUnknown).toBe(true)
    await vi.waitUntil(() => link.trouble() !== undefined, SOON)
    await expect(put('3')).rejects.toThrow(StateUnavailable)
    await server.again()
    await vi.waitUntil(() => link.trouble() === undefined, SOON)
    await vi.waitFor(async () => expect(await put('4')).toMatchObject({ ok: true }), SOON)
    expect((await state.list('k', ['a', 'b'], { limit: 9 })).entries.map((e) => e.key.id)).toEqual(['1', '4'])
  })
})
