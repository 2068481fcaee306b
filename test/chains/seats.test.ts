import { describe, expect, it } from 'vitest'
import type { Chains } from '../../src/chains/chains.ts'
import { Seats } from '../../src/chains/drive/seats.ts'
import { deliveryToken } from '../../src/core/ids.ts'
import type { JsonObject } from '../../src/core/json.ts'
import { badRequest, held, OK, scriptedProvider } from '../fakes/provider.ts'
import { actionOf, letters, scope, start, step, type World, world } from './set-up.ts'

const chain = (name: string, provider: string, more: JsonObject = {}) => ({
  name,
  timeout_seconds: 100_000,
  steps: [step('one', provider, { payload_template: { no: '{{origin.payload.no}}' } }), step('two', provider)],
  ...more,
})
const log = () => ({ provider: scriptedProvider('log', [OK], { hasEffect: false }) })
const startAll = (w: World, chains: Chains, name: string, count: number, from = 0) =>
  Promise.all(
    Array.from({ length: count }, (_, i) => start(w, chains, w.memory.state, name, actionOf({ no: from + i }))),
  )
const count = async (w: World, tag: string) => {
  let n = 0
  for (let after: string | undefined = '', more = true; more; more = after !== undefined) {
    const page = await w.memory.state.list('run', scope, { tag, limit: 1000, ...(after && { after }) })
    n += page.entries.length
    after = page.next
  }
  return n
}
const completed = (w: World) => count(w, 'status:completed')
const settled = async (w: World, times: number) => {
  for (let i = 0; i < times; i++) await w.env.clock.settle()
}

describe('[chains].max_concurrent_advances', () => {
  it('what takes no time is driven at once, however many are started: nothing is parked, nothing claimed', async () => {
    const w = await world([chain('quick', 'log')], { log: log() }, { config: { maxConcurrentAdvances: 2 } })
    let claims = 0
    let touches = 0
    const chains = await w.node({
      ...w.memory.state,
      claim: (...a) => {
        claims++
        return w.memory.state.claim(...a)
      },
      commit: (...a) => {
        touches += a[1].filter((op) => op.op === 'touch').length
        return w.memory.state.commit(...a)
      },
    })
    await startAll(w, chains, 'quick', 500)
    await settled(w, 10)
    expect(await completed(w)).toBe(500)
    expect(touches).toBe(0)
    expect(claims).toBeLessThan(3)
    expect(chains.driven()).toBe(0)
  })

  it('so many are at providers at once; the others wait here, those without effect do not', async () => {
    const ends = Array.from({ length: 12 }, held)
    const w = await world(
      [chain('slow', 'p', { steps: [step('one')] }), chain('quick', 'log')],
      { p: { script: ends.map((h) => h.answer) }, log: log() },
      { config: { maxConcurrentAdvances: 3 } },
    )
    const chains = await w.node()
    await startAll(w, chains, 'slow', 12)
    await settled(w, 3)
    expect(w.providers['p']!.inFlight).toBe(3)
    expect(chains.room()).toBe(0)
    await startAll(w, chains, 'quick', 20)
    await settled(w, 5)
    expect(await count(w, 'both:5:quick9:completed')).toBe(20)
    for (const h of ends) {
      h.finish(OK)
      await settled(w, 2)
    }
    expect(await completed(w)).toBe(32)
    expect(w.providers['p']!.mostInFlight).toBe(3)
    expect(chains.room()).toBe(3)
  })

  it('claims and memory are bounded: what finds no room to wait is in the store, unclaimed, and has its turn', async () => {
    const stuck = held()
    const w = await world(
      [chain('slow', 'p', { steps: [step('one')] })],
      { p: { script: [stuck.answer], timeoutMs: 50_000_000 } },
      { config: { maxConcurrentAdvances: 2, stepDeadlineSeconds: 100_000 } },
    )
    const chains = await w.node()
    await startAll(w, chains, 'slow', 1100)
    await settled(w, 10)
    expect(chains.driven()).toBe(2 + 1024)
    await w.env.clock.advance(11_000)
    // Their claims are kept; the rest is nobody's, and stays so.
    expect(chains.driven()).toBe(2 + 1024)
    expect(w.providers['p']!.sent).toHaveLength(2)
    stuck.finish(OK)
    for (let i = 0; i < 100 && chains.driven() > 0; i++) await settled(w, 5)
    expect(await completed(w)).toBe(1100)
    expect(w.providers['p']!.mostInFlight).toBe(2)
    expect(w.providers['p']!.sent).toHaveLength(1100)
    expect(chains.driven()).toBe(0)
  })

  it('what is in the store is not kept from its turn by what is started meanwhile', async () => {
    const w = await world(
      [chain('slow', 'p', { steps: [step('one', 'p', { payload_template: { no: '{{origin.payload.no}}' } })] })],
      { p: { script: [() => w.env.clock.sleep(1000).then(() => OK)] } },
      { config: { maxConcurrentAdvances: 2, stepDeadlineSeconds: 100_000 } },
    )
    const asleep = await w.node({ ...w.memory.state, claim: () => Promise.resolve([]) })
    const chains = await w.node()
    await startAll(w, asleep, 'slow', 5)
    await asleep.stop()
    await settled(w, 2)
    for (let s = 0; s < 12; s++) {
      await startAll(w, chains, 'slow', 4, 100)
      // As the loop does.
      await chains.pull()
      await w.env.clock.advance(1000)
    }
    const sent = w.providers['p']!.sent.map((s) => ((s.request as JsonObject)['payload'] as JsonObject)['no'])
    expect(sent.filter((no) => (no as number) < 5)).toHaveLength(5)
    await w.env.clock.advance(60_000)
    expect(await completed(w)).toBe(53)
  })

  it('of those that wait here high goes first, and low has its turn', async () => {
    const ends = Array.from({ length: 7 }, held)
    const three = ['low', 'normal', 'high'].map((priority) =>
      chain(priority, 'p', {
        priority,
        steps: [step('one', 'p', { payload_template: { no: '{{origin.payload.no}}' } })],
      }),
    )
    const w = await world(three, { p: { script: ends.map((h) => h.answer) } }, { config: { maxConcurrentAdvances: 1 } })
    const chains = await w.node()
    for (const [no, name] of ['low', 'low', 'normal', 'normal', 'high', 'high'].entries()) {
      await startAll(w, chains, name, 1, no)
      await w.env.clock.advance(1)
    }
    for (const h of ends) {
      h.finish(OK)
      await settled(w, 2)
    }
    const sent = w.providers['p']!.sent.map((s) => ((s.request as JsonObject)['payload'] as JsonObject)['no'])
    expect(sent).toEqual([0, 4, 5, 2, 3, 1])
  })

  it('a cancel reaches one that waits for its turn, and a stop hands it back unsent', async () => {
    const h = held()
    const w = await world(
      [chain('slow', 'p', { steps: [step('one')] })],
      { p: { script: [h.answer, badRequest()] } },
      { config: { maxConcurrentAdvances: 1 } },
    )
    const chains = await w.node()
    const [a, b, c] = await startAll(w, chains, 'slow', 3)
    await settled(w, 2)
    // Of one millisecond, they are in no order: the first to be sent may be any.
    const waiting = [a, b, c].filter((id) => !w.providers['p']!.sent.some((s) => s.token === deliveryToken(id!, 'one')))
    expect(waiting).toHaveLength(2)
    await chains.cancel(scope, waiting[0]!, 'ann')
    await settled(w, 2)
    expect(await chains.get(scope, waiting[0]!)).toMatchObject({ status: 'cancelled' })
    const stopped = chains.stop()
    h.finish(OK)
    await stopped
    expect(w.providers['p']!.sent).toHaveLength(1)
    const second = await w.node()
    await second.pull()
    await settled(w, 3)
    expect(await second.get(scope, waiting[1]!)).toMatchObject({ status: 'failed' })
    expect(w.providers['p']!.sent).toHaveLength(2)
    // It was not sent before, so nobody need think that it may have been.
    expect(await letters(w)).toMatchObject([{ unknown: false, attempts: 1 }])
  })
})

describe('seats', () => {
  const seatOf = (seats: Seats, since: number, of = 'a') => seats.seat(of, { id: String(since), since })

  it('are given in turn, and whoever leaves makes room', () => {
    const seats: Seats = new Seats(
      () => 2,
      () => {
        while (seats.free > 0 && seats.waiting > 0) seats.grant()
      },
    )
    const told: number[] = []
    const all = [5, 3, 4, 1].map((since) => {
      const seat = seatOf(seats, since)
      return { seat, got: seat.ask(() => told.push(since)) }
    })
    expect(all.map((a) => a.got)).toEqual(['taken', 'taken', 'wait', 'wait'])
    all[0]!.seat.leave()
    expect(told).toEqual([5, 3, 1])
    expect(all[3]!.seat.ask(() => told.push(0))).toBe('taken')
    all[2]!.seat.leave()
    all[1]!.seat.leave()
    all[1]!.seat.leave()
    expect([seats.free, seats.waiting]).toEqual([1, 0])
  })

  it('go round between scopes: a crowd of one keeps no other waiting', () => {
    const seats = new Seats(
      () => 1,
      () => {},
    )
    const order: string[] = []
    const ask = (since: number, of: string) => seatOf(seats, since, of).ask(() => order.push(`${of}${since}`))
    for (let i = 1; i <= 4; i++) ask(i, 'a')
    ask(9, 'b')
    ask(5, 'c')
    ask(6, 'c')
    for (let i = 0; i < 9; i++) seats.grant()
    expect(order).toEqual(['a1', 'b9', 'c5', 'a2', 'c6', 'a3', 'a4'])
    expect(seats.waiting).toBe(0)
  })

  it("that are promised are nobody else's, until the promise is settled", () => {
    const seats = new Seats(
      () => 3,
      () => {},
    )
    const promise = seats.promise(2)
    expect(seats.free).toBe(1)
    const seat = promise.seat('a')
    expect([seat.taken, seats.free]).toEqual([true, 1])
    promise.settle()
    expect(seats.free).toBe(2)
    seat.leave()
    expect(seats.free).toBe(3)
  })
})
