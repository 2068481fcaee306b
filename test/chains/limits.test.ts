import { describe, expect, it } from 'vitest'
import type { Chains } from '../../src/chains/chains.ts'
import type { JsonObject } from '../../src/core/json.ts'
import type { Op } from '../../src/core/state.ts'
import { badRequest, held, OK, receiver, scriptedProvider } from '../fakes/provider.ts'
import { everyDeath } from './deaths.ts'
import { actionOf, line, pullFor, scope, start, step, stepsOf, type World, world } from './set-up.ts'

const chain = (name: string, provider: string, more: JsonObject = {}) => ({
  name,
  timeout_seconds: 1000,
  steps: [step('one', provider, { payload_template: { no: '{{origin.payload.no}}' } })],
  ...more,
})
const starts = async (w: World, chains: Chains, name: string, count: number, from = 0) => {
  const ids: string[] = []
  for (let no = from; no < from + count; no++) {
    ids.push(await start(w, chains, w.memory.state, name, actionOf({ no })))
    // Ids of one millisecond are in no order.
    await w.env.clock.advance(1)
  }
  return ids
}
const numbers = (w: World, p: string) =>
  w.providers[p]!.sent.map((s) => ((s.request as JsonObject)['payload'] as JsonObject)['no'])
const count = async (chains: Chains, status: string, name?: string) =>
  (await chains.list(scope, { status, limit: 1000, ...(name !== undefined && { name }) })).chains.length
const settled = async (w: World, times = 6) => {
  for (let i = 0; i < times; i++) await w.env.clock.settle()
}

describe('max_concurrent', () => {
  it('so many of a chain are at work at once; who leaves lets the next in, in order, without waiting', async () => {
    const ends = Array.from({ length: 6 }, held)
    const w = await world([chain('few', 'p', { max_concurrent: 2 })], { p: { script: ends.map((h) => h.answer) } })
    const chains = await w.node()
    const ids = await starts(w, chains, 'few', 6)
    await settled(w)
    expect(numbers(w, 'p')).toEqual([0, 1])
    expect(await chains.get(scope, ids[2]!)).toMatchObject({ status: 'pending', waiting_for: 'place' })
    for (const [i, h] of ends.entries()) {
      h.finish(OK)
      await settled(w)
      expect(numbers(w, 'p')).toHaveLength(Math.min(i + 3, 6))
    }
    expect(await count(chains, 'completed')).toBe(6)
    expect(w.providers['p']!.mostInFlight).toBe(2)
    expect(numbers(w, 'p')).toEqual([0, 1, 2, 3, 4, 5])
  })

  it('two that leave at once let two in', async () => {
    const ends = Array.from({ length: 6 }, held)
    const w = await world([chain('few', 'p', { max_concurrent: 3 })], { p: { script: ends.map((h) => h.answer) } })
    const chains = await w.node()
    await starts(w, chains, 'few', 6)
    await settled(w)
    for (const h of ends.slice(0, 3)) h.finish(OK)
    await settled(w)
    expect(w.providers['p']!.inFlight).toBe(3)
    for (const h of ends) h.finish(OK)
    await settled(w)
    expect(await count(chains, 'completed')).toBe(6)
  })

  it('one that comes as the last place is left is not forgotten', async () => {
    const h = held()
    const w = await world([chain('few', 'p', { max_concurrent: 1 })], { p: { script: [h.answer, OK] } })
    let parks: (() => Promise<void>) | undefined
    const chains = await w.node({
      ...w.memory.state,
      async commit(...[s, ops, o]: Parameters<typeof w.memory.state.commit>) {
        const isParked = ops.some((op) => op.op === 'put' && op.tags?.some((t) => t.startsWith('parked:')))
        if (isParked && parks) {
          const act = parks
          parks = undefined
          await act()
        }
        return w.memory.state.commit(s, ops, o)
      },
    })
    parks = async () => {
      h.finish(OK)
      await w.env.clock.settle()
    }
    await starts(w, chains, 'few', 2)
    await settled(w)
    expect(parks).toBeUndefined()
    expect(await count(chains, 'completed')).toBe(2)
  })

  it('waits, signals and children hold no place', async () => {
    const w = await world(
      [
        chain('few', 'p', {
          max_concurrent: 1,
          steps: [step('one'), { name: 'wait', wait: { seconds: 60 } }, { name: 'sub', sub_chain: 'inner' }],
        }),
        { name: 'inner', steps: [{ name: 'ask', wait_for_signal: { signal: 'go' } }] },
      ],
      { p: {} },
    )
    const chains = await w.node()
    const ids = await starts(w, chains, 'few', 5)
    await settled(w)
    expect(await count(chains, 'waiting', 'few')).toBe(5)
    await pullFor(w, chains, 70)
    await settled(w)
    expect(await count(chains, 'waiting', 'inner')).toBe(5)
    for (const id of ids) {
      const child = stepsOf(await chains.get(scope, id))['sub']!['child_chain_id'] as string
      await chains.signal(scope, child, { name: 'go', payload: null, by: 'ann' })
    }
    await settled(w)
    expect(await count(chains, 'completed', 'few')).toBe(5)
    expect(w.providers['p']!.mostInFlight).toBe(1)
  })

  it('a flood of one chain does not keep another from its places', async () => {
    const stuck = held()
    const w = await world(
      [chain('flood', 'slow', { max_concurrent: 2 }), chain('quick', 'p')],
      { slow: { script: [stuck.answer], timeoutMs: 500_000 }, p: {} },
      { config: { maxConcurrentPerScope: 4, stepDeadlineSeconds: 1000 } },
    )
    const chains = await w.node()
    await starts(w, chains, 'flood', 60)
    await settled(w)
    expect(w.providers['slow']!.inFlight).toBe(2)
    await starts(w, chains, 'quick', 20)
    await settled(w, 12)
    expect(await count(chains, 'completed', 'quick')).toBe(20)
    stuck.finish(OK)
    await settled(w, 40)
    expect(await count(chains, 'completed', 'flood')).toBe(60)
    expect(w.providers['slow']!.mostInFlight).toBe(2)
  })

  it('a cancel, a pause and the end of its time reach one that waits for a place', async () => {
    const stuck = held()
    const w = await world(
      [chain('few', 'p', { max_concurrent: 1, steps: [{ name: 'wait', wait: { seconds: 1 } }, step('one')] })],
      { p: { script: [stuck.answer], timeoutMs: 5_000_000 } },
      { config: { stepDeadlineSeconds: 10_000 } },
    )
    const chains = await w.node()
    const [, b, c, d] = await starts(w, chains, 'few', 4)
    await pullFor(w, chains, 10)
    await settled(w)
    expect(await chains.get(scope, b!)).toMatchObject({ status: 'waiting', waiting_for: 'place' })
    await chains.cancel(scope, b!, 'ann')
    await chains.pause(scope, c!, 'ann')
    await settled(w)
    expect(await chains.get(scope, b!)).toMatchObject({ status: 'cancelled' })
    expect(await chains.get(scope, c!)).toMatchObject({ paused_by: 'ann' })
    await pullFor(w, chains, 1000)
    expect(await chains.get(scope, d!)).toMatchObject({ status: 'timed_out' })
  })

  it('the end of its time reaches one that has begun and waits for a place again, to the moment', async () => {
    const h = held()
    const rest = { name: 'rest', wait: { seconds: 1 } }
    const w = await world(
      [chain('long', 'p'), { name: 'short', timeout_seconds: 10, steps: [rest, step('one', 'q')] }],
      { p: { script: [h.answer], timeoutMs: 60_000 }, q: {} },
      { config: { maxConcurrentPerScope: 1 } },
    )
    const chains = await w.node()
    const id = await start(w, chains, w.memory.state, 'short')
    await settled(w)
    await start(w, chains, w.memory.state, 'long')
    await w.env.clock.advance(9_000)
    expect(await chains.get(scope, id)).toMatchObject({ waiting_for: 'place', current_step: 'rest' })
    await w.env.clock.advance(1_100)
    expect(await chains.get(scope, id)).toMatchObject({ status: 'timed_out' })
    h.finish(OK)
    await settled(w)
    expect(w.providers['q']!.sent).toHaveLength(0)
  })

  it('a place is free again when the claim of a dead node runs out', async () => {
    const w = await world([chain('few', 'p', { max_concurrent: 1 })], { p: { script: [held().answer, OK] } })
    let dead = false
    const hang = <A extends unknown[], T>(act: (...a: A) => Promise<T>) => {
      return (...a: A): Promise<T> => (dead ? new Promise<T>(() => {}) : act(...a))
    }
    const { commit, claim } = w.memory.state
    const first = await w.node({ ...w.memory.state, commit: hang(commit), claim: hang(claim) })
    await starts(w, first, 'few', 1)
    dead = true
    const second = await w.node()
    await starts(w, second, 'few', 1, 1)
    await pullFor(w, second, 20)
    expect(await count(second, 'completed')).toBe(0)
    await pullFor(w, second, 40)
    expect(await count(second, 'completed')).toBe(2)
  })

  it('a place is kept as long as the step that holds it lasts', async () => {
    const h = held()
    const w = await world(
      [chain('few', 'p', { max_concurrent: 1 })],
      { p: { script: [h.answer, OK], timeoutMs: 200_000 } },
      {
        config: { stepDeadlineSeconds: 200 },
      },
    )
    const chains = await w.node()
    const a = await start(w, chains, w.memory.state, 'few', actionOf({ no: 1 }))
    await pullFor(w, chains, 100)
    const b = await start(w, chains, w.memory.state, 'few', actionOf({ no: 2 }))
    await settled(w)
    expect(await chains.get(scope, b)).toMatchObject({ status: 'pending', waiting_for: 'place' })
    h.finish(OK)
    await settled(w)
    for (const id of [a, b]) expect(await chains.get(scope, id)).toMatchObject({ status: 'completed' })
  })

  it('one that lost its place because its claim ran out goes on, and does not spin', async () => {
    const [h, other] = [held(), held()]
    const w = await world([chain('few', 'p', { max_concurrent: 1, steps: [step('one'), step('two')] })], {
      p: { script: [h.answer, other.answer, OK], timeoutMs: 80_000 },
    })
    let down = false
    let commits = 0
    const first = await w.node({
      ...w.memory.state,
      commit: (...a) => {
        commits++
        const renews = a[1][0]?.op === 'touch'
        return down && renews
          ? Promise.resolve({ ok: true, results: a[1].map(() => ({})) })
          : w.memory.state.commit(...a)
      },
      claim: () => Promise.resolve([]),
    })
    const second = await w.node({ ...w.memory.state, claim: () => Promise.resolve([]) })
    const a = await start(w, first, w.memory.state, 'few', actionOf({ no: 1 }))
    await w.env.clock.settle()
    // Its renewals are said to be done and are not; somebody else has its place by now.
    down = true
    await w.env.clock.advance(40_000)
    const b = await start(w, second, w.memory.state, 'few', actionOf({ no: 2 }))
    await w.env.clock.settle()
    commits = 0
    h.finish(OK)
    await settled(w)
    expect(commits).toBeLessThan(20)
    expect(await first.get(scope, a)).toMatchObject({ status: 'completed' })
    expect(await first.get(scope, b)).toMatchObject({ status: 'running' })
    other.finish(OK)
    await settled(w)
    for (const id of [a, b]) expect(await first.get(scope, id)).toMatchObject({ status: 'completed' })
  })
})

describe('[chains].max_concurrent_per_scope', () => {
  it('holds for all chains of a scope together, and what is edited holds for those there are', async () => {
    const ends = Array.from({ length: 8 }, held)
    const script = ends.map((h) => h.answer)
    let most: number | undefined = 2
    const w = await world([chain('a', 'p'), chain('b', 'p')], { p: { script } })
    const config = {
      get maxConcurrentPerScope() {
        return most as number
      },
    }
    const chains = await w.node(w.memory.state, { config })
    await starts(w, chains, 'a', 4)
    await starts(w, chains, 'b', 4, 4)
    await settled(w)
    expect(numbers(w, 'p')).toEqual([0, 1])
    expect(most).toBe(2)
    most = 5
    ends[0]!.finish(OK)
    await settled(w)
    expect(w.providers['p']!.inFlight).toBe(5)
    for (const h of ends) h.finish(OK)
    await settled(w)
    expect(await count(chains, 'completed')).toBe(8)
  })
})

describe('priority', () => {
  const three = ['low', 'normal', 'high'].map((priority) => chain(priority, 'p', { priority }))

  it('high goes first, then normal, then low, of those that wait for a place', async () => {
    const ends = Array.from({ length: 7 }, held)
    const w = await world(three, { p: { script: ends.map((h) => h.answer) } }, { config: { maxConcurrentPerScope: 1 } })
    const chains = await w.node()
    await starts(w, chains, 'low', 3, 10)
    await starts(w, chains, 'normal', 2, 20)
    await starts(w, chains, 'high', 2, 30)
    for (const h of ends) {
      await settled(w)
      h.finish(OK)
    }
    await settled(w)
    expect(numbers(w, 'p')).toEqual([10, 30, 31, 20, 21, 11, 12])
  })

  it('low has its turn too, however many come that are high', async () => {
    const w = await world(
      three,
      { p: { script: [() => w.env.clock.sleep(5000).then(() => OK)] } },
      { config: { maxConcurrentPerScope: 1, stepDeadlineSeconds: 1000 } },
    )
    const chains = await w.node()
    await starts(w, chains, 'high', 1, 1)
    const [low] = await starts(w, chains, 'low', 1, 0)
    // Twice as many come as there are places for.
    for (let s = 0; s < 150; s += 5) {
      await starts(w, chains, 'high', 2, 100 + s)
      await w.env.clock.advance(5000)
    }
    expect(await chains.get(scope, low!)).toMatchObject({ status: 'completed' })
    expect(await count(chains, 'pending')).toBeGreaterThan(10)
  })
})

describe('places and a node that dies', () => {
  it('at whichever commit it dies, all come to their end, and never more at once than may', async () => {
    const deaths = await everyDeath(
      async () => {
        const taken = receiver()
        const p = scriptedProvider('p', [taken.accept()])
        const w = await world([chain('few', 'p', { max_concurrent: 1, lock_by: 'payload.none' })], {
          p: { provider: p },
        })
        return { taken, w, p }
      },
      async ({ w }, chains, store) => {
        for (const no of [1, 2, 3]) await start(w, chains, store, 'few', actionOf({ no }))
        await w.env.clock.advance(1000)
      },
      async ({ taken, p }, chains, label) => {
        const all = (await chains.list(scope, { limit: 10 })).chains
        expect(
          all.map((c) => c['status']),
          label,
        ).toEqual(all.map(() => 'completed'))
        expect(taken.effects.size, label).toBe(all.length)
        expect(p.mostInFlight, label).toBeLessThan(2)
      },
    )
    expect(deaths).toBeGreaterThan(9)
  })

  it('one that fails, is brought back and ends leaves nothing in any line', async () => {
    const w = await world(
      [line(step('one'))],
      { p: { script: [badRequest(), OK] } },
      { config: { maxConcurrentPerScope: 1 } },
    )
    const seen: Op[] = []
    const chains = await w.node({
      ...w.memory.state,
      commit: (s, ops, o) => {
        if (!o?.dry) seen.push(...ops)
        return w.memory.state.commit(s, ops, o)
      },
    })
    const id = await start(w, chains, w.memory.state, 'line')
    await settled(w)
    await chains.retry(scope, id, 'ann')
    await settled(w)
    expect(await chains.get(scope, id)).toMatchObject({ status: 'completed' })
    expect(seen.filter((op) => op.op === 'slot').at(-1)).toMatchObject({ until: 0 })
    const [entry] = await w.memory.state.get([{ kind: 'run', scope, id }])
    expect(entry!.tags.filter((t) => t.startsWith('parked'))).toEqual([])
  })
})
