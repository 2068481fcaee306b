import { describe, expect, test } from 'vitest'
import { StateUnavailable, StateUnknown } from '../../src/core/errors.ts'
import type { Key, StateStore } from '../../src/core/state.ts'
import { keepLease, LEASE_MS } from '../../src/delivery/lease.ts'
import { testEnv } from '../fakes/env.ts'
import { memoryState } from '../fakes/store.ts'

const key: Key = { kind: 'intent', scope: ['n', 't'], id: 'run-1' }
/** A stored, claimed intent; `commits` counts renewals, `fail` makes them meet what it returns. */
async function claimed(leftMs = LEASE_MS) {
  const env = testEnv()
  const { state } = await memoryState(env)
  const until = env.clock.now() + leftMs
  const born = await state.commit(key.scope, [
    {
      op: 'put',
      kind: key.kind,
      id: key.id,
      value: '{}',
      version: 'v1',
      ifVersion: null,
      claim: { owner: 'me', until },
    },
  ])
  if (!born.ok) throw new Error('refused')
  const claim = { owner: 'me', number: born.results[0]!.claimNumber! }
  const renewals: number[] = []
  let meet: (() => Promise<never>) | undefined
  const watched: StateStore = {
    ...state,
    commit(scope, ops, opts) {
      renewals.push(env.clock.now())
      return meet ? meet() : state.commit(scope, ops, opts)
    },
  }
  const lease = keepLease({ state: watched, clock: env.clock }, key, { ...claim, until })
  const held = async () => (await state.get([key]))[0]?.claim
  return {
    ...env,
    start: until - leftMs,
    state,
    claim,
    lease,
    renewals,
    held,
    meet: (f?: () => Promise<never>) => (meet = f),
  }
}

describe('a lease', () => {
  test('is renewed at a third, for as long as the work lasts', async () => {
    const s = await claimed()
    await s.clock.advance(10 * LEASE_MS)
    expect(s.renewals.slice(0, 3).map((t) => t - s.start)).toEqual([10_000, 20_000, 30_000])
    expect(s.renewals).toHaveLength(30)
    expect(s.lease.lost.aborted).toBe(false)
    expect(await s.held()).toMatchObject(s.claim)
    s.lease.stop()
  })
  test('one of which little is left is renewed before it runs out', async () => {
    const s = await claimed(4_000)
    await s.clock.advance(3 * LEASE_MS)
    expect(s.renewals.slice(0, 2).map((t) => t - s.start)).toEqual([2_000, 12_000])
    expect(s.lease.lost.aborted).toBe(false)
    s.lease.stop()
  })
  test('says until when from the moment a renewal is sent: what is written behind it must not take it back', async () => {
    const s = await claimed()
    const until = s.start + LEASE_MS
    expect(s.lease.until).toBe(until)
    await s.clock.advance(9_999)
    expect(s.lease.until).toBe(until)
    s.meet(() => new Promise(() => {}))
    await s.clock.advance(1)
    expect(s.lease.until).toBe(s.start + 10_000 + LEASE_MS)
    s.lease.stop()
  })
  test('believes in no renewal that what was sent before it may have overtaken', async () => {
    const error = new StateUnavailable('down')
    for (const late of [false, true]) {
      const s = await claimed()
      const { promise, resolve } = Promise.withResolvers<never>()
      s.meet(() => promise)
      await s.clock.advance(10_000)
      const answered = () => resolve({ ok: true, results: [] } as never)
      // A commit of before the renewal has its answer while that is on its way, or after.
      if (!late) s.lease.wrote(s.start + LEASE_MS)
      answered()
      await promise
      await s.clock.advance(1)
      if (late) s.lease.wrote(s.start + LEASE_MS)
      s.meet(() => Promise.reject(error))
      await s.clock.advance(LEASE_MS - 10_002)
      expect(s.lease.lost.aborted, `late: ${late}`).toBe(false)
      await s.clock.advance(1)
      expect(s.lease.lost.aborted, `late: ${late}`).toBe(true)
    }
  })
  test('what was written under it as it said moves nothing, and the next renewal counts again', async () => {
    const s = await claimed()
    await s.clock.advance(10_000)
    s.lease.wrote(s.start + LEASE_MS)
    await s.clock.advance(10_000)
    s.lease.wrote(s.lease.until)
    s.meet(() => Promise.reject(new StateUnavailable('down')))
    await s.clock.advance(LEASE_MS - 1)
    expect(s.lease.lost.aborted).toBe(false)
    await s.clock.advance(1)
    expect(s.lease.lost.aborted).toBe(true)
    s.lease.wrote(0)
    expect(s.clock.pending).toBe(0)
  })
  test('stop ends the renewals and leaves the claim, and no timer stays', async () => {
    const s = await claimed()
    await s.clock.advance(10_000)
    s.lease.stop()
    await s.clock.advance(LEASE_MS)
    expect(s.renewals).toHaveLength(1)
    expect(s.lease.lost.aborted).toBe(false)
    expect(s.clock.pending).toBe(0)
    expect(await s.held()).toBeUndefined()
  })
  test('PITFALLS 65: is lost at the next renewal when the claim is no longer its own', async () => {
    const s = await claimed()
    await s.state.commit(key.scope, [{ op: 'delete', kind: key.kind, id: key.id, ifClaim: s.claim }])
    await s.clock.advance(9_999)
    expect(s.lease.lost.aborted).toBe(false)
    await s.clock.advance(1)
    expect(s.lease.lost.aborted).toBe(true)
    expect(s.clock.pending).toBe(0)
  })
  test('is lost when it cannot be renewed before it runs out, and not sooner', async () => {
    for (const error of [new StateUnavailable('down'), new StateUnknown('no reply')]) {
      const s = await claimed()
      s.meet(() => Promise.reject(error))
      await s.clock.advance(LEASE_MS - 1)
      expect(s.lease.lost.aborted).toBe(false)
      expect(s.renewals.length).toBeGreaterThan(5)
      await s.clock.advance(1)
      expect(s.lease.lost.aborted).toBe(true)
      expect(s.clock.pending).toBe(0)
    }
  })
  test('is lost on time when the store does not answer at all', async () => {
    const s = await claimed()
    s.meet(() => new Promise<never>(() => {}))
    await s.clock.advance(LEASE_MS - 1)
    expect(s.lease.lost.aborted).toBe(false)
    await s.clock.advance(1)
    expect(s.lease.lost.aborted).toBe(true)
  })
  test('PITFALLS 65: renewed before, it is lost when what was last confirmed has run out', async () => {
    const never = () => new Promise<never>(() => {})
    for (const meets of [never, () => Promise.reject(new StateUnavailable('down'))]) {
      const s = await claimed()
      await s.clock.advance(25_000)
      expect(s.renewals).toHaveLength(2)
      s.meet(meets)
      await s.clock.advance(LEASE_MS - 5_001)
      expect(s.lease.lost.aborted).toBe(false)
      await s.clock.advance(1)
      expect(s.lease.lost.aborted).toBe(true)
      expect(s.clock.pending).toBe(0)
    }
  })
  test('outlives an outage shorter than what is left of it', async () => {
    const s = await claimed()
    s.meet(() => Promise.reject(new StateUnavailable('down')))
    await s.clock.advance(20_000)
    s.meet(undefined)
    await s.clock.advance(5 * LEASE_MS)
    expect(s.lease.lost.aborted).toBe(false)
    expect(await s.held()).toMatchObject(s.claim)
    s.lease.stop()
  })
  test('work that ends while a renewal is under way is not called lost', async () => {
    const s = await claimed()
    const { promise, reject } = Promise.withResolvers<never>()
    s.meet(() => promise)
    await s.clock.advance(10_000)
    s.lease.stop()
    reject(new StateUnavailable('down'))
    await s.clock.advance(LEASE_MS)
    expect(s.lease.lost.aborted).toBe(false)
    expect(s.clock.pending).toBe(0)
  })
})
