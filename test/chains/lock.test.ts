import { describe, expect, it } from 'vitest'
import type { Chains } from '../../src/chains/chains.ts'
import type { JsonObject } from '../../src/core/json.ts'
import type { Op } from '../../src/core/state.ts'
import { badRequest, held, OK, receiver, scriptedProvider } from '../fakes/provider.ts'
import { everyDeath } from './deaths.ts'
import { actionOf, scope, start, step, type World, world } from './set-up.ts'

const locked = (more: JsonObject = {}) => ({
  name: 'line',
  lock_by: 'payload.device',
  timeout_seconds: 1000,
  steps: [step('one', 'p', { payload_template: { no: '{{origin.payload.no}}' } })],
  ...more,
})
const of = (device: string, no: number) => actionOf({ device, no })
const statuses = async (chains: Chains, ids: readonly string[]) =>
  Promise.all(ids.map(async (id) => (await chains.get(scope, id))?.['status']))
/** Everything that is stored about locks. */
const left = async (w: World) =>
  (
    await Promise.all(
      ['chain_lock', 'chain_lock_wait', 'chain_lock_came'].map((kind) =>
        w.memory.state.list(kind, scope, { limit: 1000 }),
      ),
    )
  ).flatMap((p) => p.entries.map((e) => [e.key.kind, e.key.id, e.value]))
const sentNumbers = (w: World) => w.providers['p']!.sent.map((s) => (s.request as JsonObject)['payload'] as JsonObject)

describe('lock_by', () => {
  it('executions of one entity run one after another in the order they were admitted, others beside them', async () => {
    const ends = [held(), held(), held()]
    const w = await world([locked()], { p: { script: ends.map((h) => h.answer) } })
    const chains = await w.node()
    const a = await start(w, chains, w.memory.state, 'line', of('d1', 1))
    const b = await start(w, chains, w.memory.state, 'line', of('d1', 2))
    const c = await start(w, chains, w.memory.state, 'line', of('d2', 3))
    await w.env.clock.settle()
    expect(await statuses(chains, [a, b, c])).toEqual(['running', 'pending', 'running'])
    const inLine = await chains.get(scope, b)
    expect(inLine).toMatchObject({ entity: 'd1', waiting_for: 'lock' })
    // Its time begins when it may begin.
    expect(inLine).not.toHaveProperty('expires_at')
    ends[0]!.finish(OK)
    await w.env.clock.settle()
    expect(await statuses(chains, [a, b, c])).toEqual(['completed', 'running', 'running'])
    ends[1]!.finish(OK)
    ends[2]!.finish(OK)
    await w.env.clock.settle()
    expect(await statuses(chains, [a, b, c])).toEqual(['completed', 'completed', 'completed'])
    expect(sentNumbers(w)).toEqual([{ no: 1 }, { no: 3 }, { no: 2 }])
    expect(await left(w)).toEqual([])
  })

  it('of fifty that were admitted in one batch each has its turn, in order, and never two at once', async () => {
    const w = await world([locked()], { p: {} })
    const chains = await w.node()
    const ids = await Promise.all(
      Array.from({ length: 50 }, (_, no) => start(w, chains, w.memory.state, 'line', of('d1', no))),
    )
    for (let i = 0; i < 20; i++) await w.env.clock.settle()
    expect(await statuses(chains, ids)).toEqual(Array(50).fill('completed'))
    expect(w.providers['p']!.mostInFlight).toBe(1)
    expect(sentNumbers(w).map((p) => p['no'])).toEqual(Array.from({ length: 50 }, (_, no) => no))
    expect(await left(w)).toEqual([])
  })

  it('locks nothing where the entity is missing', async () => {
    const ends = [held(), held()]
    const w = await world([locked()], { p: { script: ends.map((h) => h.answer) } })
    const chains = await w.node()
    const ids = [
      await start(w, chains, w.memory.state, 'line', actionOf({ no: 1 })),
      await start(w, chains, w.memory.state, 'line', actionOf({ no: 2, device: null })),
    ]
    await w.env.clock.settle()
    expect(await statuses(chains, ids)).toEqual(['running', 'running'])
    expect(await left(w)).toEqual([])
    for (const h of ends) h.finish(OK)
    await w.env.clock.settle()
    expect(await statuses(chains, ids)).toEqual(['completed', 'completed'])
  })

  it('children share the lock of their root', async () => {
    const inner = { name: 'inner', lock_by: 'payload.device', steps: [step('in', 'p')] }
    const w = await world([locked({ steps: [{ name: 'sub', sub_chain: 'inner' }] }), inner], { p: {} })
    const chains = await w.node()
    const ids = [
      await start(w, chains, w.memory.state, 'line', of('d1', 1)),
      await start(w, chains, w.memory.state, 'line', of('d1', 2)),
    ]
    for (let i = 0; i < 3; i++) await w.env.clock.settle()
    expect(await statuses(chains, ids)).toEqual(['completed', 'completed'])
    expect(w.providers['p']!.mostInFlight).toBe(1)
    expect(await left(w)).toEqual([])
  })

  it('the next begins only when all below the one before has ended, however that ended', async () => {
    const inner = { name: 'inner', steps: [{ name: 'deep', sub_chain: 'deepest' }] }
    const deepest = { name: 'deepest', steps: [step('in', 'p'), step('never', 'p')] }
    for (const end of ['cancel', 'time'] as const) {
      const h = held()
      const root = locked({ timeout_seconds: 50, steps: [{ name: 'sub', sub_chain: 'inner' }] })
      const w = await world(
        [root, inner, deepest],
        { p: { script: [h.answer, OK], timeoutMs: 500_000 } },
        { config: { stepDeadlineSeconds: 1000, defaultTimeoutSeconds: 1000 } },
      )
      const chains = await w.node()
      const a = await start(w, chains, w.memory.state, 'line', of('d1', 1))
      const b = await start(w, chains, w.memory.state, 'line', of('d1', 2))
      await w.env.clock.settle()
      if (end === 'cancel') await chains.cancel(scope, a, 'ann')
      await w.env.clock.advance(end === 'cancel' ? 1000 : 49_000)
      expect(await statuses(chains, [b]), end).toEqual(['pending'])
      expect(w.providers['p']!.sent, end).toHaveLength(1)
      // By the deadline nothing is under way any more.
      if (end === 'cancel') h.finish(OK)
      await w.env.clock.advance(2000)
      expect(await statuses(chains, [a, b]), end).toEqual([end === 'cancel' ? 'cancelled' : 'timed_out', 'completed'])
      expect(w.providers['p']!.mostInFlight, end).toBe(1)
      expect(await left(w), end).toEqual([])
    }
  })

  it('an entity of any length is one: it is kept short, and found by all of it', async () => {
    const ends = [held(), held()]
    const w = await world([locked()], { p: { script: ends.map((h) => h.answer) } })
    const chains = await w.node()
    const long = 'x'.repeat(100_000)
    const ids = [
      await start(w, chains, w.memory.state, 'line', of(`${long}a`, 1)),
      await start(w, chains, w.memory.state, 'line', of(`${long}b`, 2)),
      await start(w, chains, w.memory.state, 'line', of(`${long}a`, 3)),
    ]
    await w.env.clock.settle()
    expect(await statuses(chains, ids)).toEqual(['running', 'running', 'pending'])
    const found = (await chains.list(scope, { entity: `${long}a`, limit: 9 })).chains.map((c) => c['chain_id'])
    expect(found.toSorted()).toEqual([ids[0], ids[2]].toSorted())
    const [entry] = await w.memory.state.get([{ kind: 'run', scope, id: ids[0]! }])
    expect(entry!.value.length + entry!.tags.join().length).toBeLessThan(5000)
    for (const h of ends) h.finish(OK)
    await w.env.clock.advance(100)
    expect(await statuses(chains, ids)).toEqual(Array(3).fill('completed'))
  })

  it('one that is cancelled in line leaves it, and takes nothing with it', async () => {
    const h = held()
    const w = await world([locked()], { p: { script: [h.answer, OK] } })
    const chains = await w.node()
    const [a, b, c] = [
      await start(w, chains, w.memory.state, 'line', of('d1', 1)),
      await start(w, chains, w.memory.state, 'line', of('d1', 2)),
      await start(w, chains, w.memory.state, 'line', of('d1', 3)),
    ]
    await w.env.clock.settle()
    await chains.cancel(scope, b, 'ann')
    await w.env.clock.settle()
    expect(await statuses(chains, [a, b, c])).toEqual(['running', 'cancelled', 'pending'])
    h.finish(OK)
    await w.env.clock.settle()
    expect(await statuses(chains, [a, b, c])).toEqual(['completed', 'cancelled', 'completed'])
    expect(sentNumbers(w)).toEqual([{ no: 1 }, { no: 3 }])
    expect(await left(w)).toEqual([])
  })

  it('one that is cancelled in line ends at once, also where its steps say how they are undone', async () => {
    const h = held()
    const undo = { compensate: { provider: 'u', action_type: 'undo' } }
    const w = await world([locked({ steps: [step('one', 'p', undo)] })], { p: { script: [h.answer] }, u: {} })
    const chains = await w.node()
    const a = await start(w, chains, w.memory.state, 'line', of('d1', 1))
    const b = await start(w, chains, w.memory.state, 'line', of('d1', 2))
    await w.env.clock.settle()
    await chains.cancel(scope, b, 'ann')
    for (let i = 0; i < 4; i++) await w.env.clock.settle()
    expect(await statuses(chains, [a, b])).toEqual(['running', 'cancelled'])
    h.finish(OK)
    for (let i = 0; i < 4; i++) await w.env.clock.settle()
    expect(await statuses(chains, [a, b])).toEqual(['completed', 'cancelled'])
    expect(await left(w)).toEqual([])
  })

  it('one that is given the lock while it is cancelled gives it on', async () => {
    const h = held()
    const w = await world([locked()], { p: { script: [h.answer, OK] } })
    const chains = await w.node()
    let between: (() => Promise<void>) | undefined
    // It ends without having had the lock, and meanwhile it is given to it.
    const second = await w.node({
      ...w.memory.state,
      async commit(s, ops, o) {
        const ends = ops.some((op) => op.op === 'put' && op.kind === 'run' && op.value.includes('"cancelled"'))
        if (ends && between) {
          const act = between
          between = undefined
          await act()
        }
        return w.memory.state.commit(s, ops, o)
      },
    })
    const a = await start(w, chains, w.memory.state, 'line', of('d1', 1))
    await w.env.clock.settle()
    const b = await start(w, second, w.memory.state, 'line', of('d1', 2))
    const c = await start(w, second, w.memory.state, 'line', of('d1', 3))
    await w.env.clock.settle()
    between = async () => {
      h.finish(OK)
      await w.env.clock.settle()
    }
    await second.cancel(scope, b, 'ann')
    for (let i = 0; i < 4; i++) await w.env.clock.advance(100)
    expect(between).toBeUndefined()
    expect(await statuses(chains, [a, b, c])).toEqual(['completed', 'cancelled', 'completed'])
    expect(await left(w)).toEqual([])
  })

  it('whoever comes while the last in line leaves is not forgotten', async () => {
    const h = held()
    const w = await world([locked()], { p: { script: [h.answer, OK] } })
    let between: (() => Promise<unknown>) | undefined
    const store = {
      ...w.memory.state,
      async commit(...[s, ops, o]: Parameters<typeof w.memory.state.commit>) {
        const ends = ops.some((op) => op.op === 'put' && op.kind === 'run' && op.value.includes('"completed"'))
        if (ends && between) {
          const act = between
          between = undefined
          await act()
        }
        return w.memory.state.commit(s, ops, o)
      },
    }
    const chains = await w.node(store)
    const a = await start(w, chains, w.memory.state, 'line', of('d1', 1))
    await w.env.clock.settle()
    let b = ''
    between = async () => {
      b = await start(w, chains, w.memory.state, 'line', of('d1', 2))
      await w.env.clock.settle()
    }
    h.finish(OK)
    for (let i = 0; i < 4; i++) await w.env.clock.advance(100)
    expect(await statuses(chains, [a, b])).toEqual(['completed', 'completed'])
    expect(await left(w)).toEqual([])
  })

  it('a lock whose holder is gone is taken by one that waits', async () => {
    const w = await world([locked()], { p: {} })
    const chains = await w.node()
    const lock = '14:payload.device2:d1'
    await w.memory.state.commit(scope, [{ op: 'put', kind: 'chain_lock', id: lock, value: 'nobody', version: 'v' }])
    const id = await start(w, chains, w.memory.state, 'line', of('d1', 1))
    await w.env.clock.settle()
    expect(await statuses(chains, [id])).toEqual(['completed'])
    expect(await left(w)).toEqual([])
  })

  it('so it is when the holder goes while that one waits, though nobody wakes it', async () => {
    const asks = { name: 'asks', steps: [{ name: 'ask', wait_for_signal: { signal: 'go' } }] }
    const w = await world([locked(), asks], { p: {} })
    const chains = await w.node()
    const holder = await start(w, chains, w.memory.state, 'asks', actionOf({}))
    const lock = '14:payload.device2:d1'
    await w.memory.state.commit(scope, [{ op: 'put', kind: 'chain_lock', id: lock, value: holder, version: 'v' }])
    const id = await start(w, chains, w.memory.state, 'line', of('d1', 1))
    await w.env.clock.settle()
    await chains.signal(scope, holder, { name: 'go', payload: null, by: 'ann' })
    await w.env.clock.settle()
    expect(await statuses(chains, [holder, id])).toEqual(['completed', 'pending'])
    await w.env.clock.advance(600_000)
    await chains.pull()
    for (let i = 0; i < 4; i++) await w.env.clock.settle()
    expect(await statuses(chains, [id])).toEqual(['completed'])
    expect(await left(w)).toEqual([])
  })

  it('one that failed takes its turn again when it is brought back', async () => {
    const h = held()
    const w = await world([locked()], { p: { script: [badRequest(), h.answer, OK] } })
    const chains = await w.node()
    const a = await start(w, chains, w.memory.state, 'line', of('d1', 1))
    await w.env.clock.settle()
    const b = await start(w, chains, w.memory.state, 'line', of('d1', 2))
    await w.env.clock.settle()
    await chains.retry(scope, a, 'ann')
    const c = await start(w, chains, w.memory.state, 'line', of('d1', 3))
    await w.env.clock.settle()
    expect(await statuses(chains, [a, b, c])).toEqual(['pending', 'running', 'pending'])
    h.finish(OK)
    for (let i = 0; i < 3; i++) await w.env.clock.settle()
    expect(await statuses(chains, [a, b, c])).toEqual(['completed', 'completed', 'completed'])
    expect(sentNumbers(w)).toEqual([{ no: 1 }, { no: 2 }, { no: 1 }, { no: 3 }])
    expect(await left(w)).toEqual([])
  })

  it('one that was brought back and is cancelled in line undoes what it did once it has the lock, and not before', async () => {
    const h = held()
    const undo = { compensate: { provider: 'u', action_type: 'undo' } }
    const w = await world([locked({ steps: [step('one', 'p', undo), step('two', 'q')] })], {
      p: {},
      q: { script: [OK, h.answer] },
      u: {},
    })
    const chains = await w.node()
    const a = await start(w, chains, w.memory.state, 'line', of('d1', 1))
    await w.env.clock.settle()
    const b = await start(w, chains, w.memory.state, 'line', of('d1', 2))
    await w.env.clock.settle()
    await chains.reset(scope, a, { step: 'two', by: 'ann' })
    await chains.cancel(scope, a, 'ann')
    for (let i = 0; i < 4; i++) await w.env.clock.settle()
    expect(await statuses(chains, [a, b])).toEqual(['pending', 'running'])
    expect(w.providers['u']!.sent).toEqual([])
    h.finish(OK)
    for (let i = 0; i < 4; i++) await w.env.clock.settle()
    expect(await statuses(chains, [a, b])).toEqual(['compensated', 'completed'])
    expect(w.providers['u']!.sent).toHaveLength(1)
    expect(await left(w)).toEqual([])
  })

  it('one that was brought back with what is below it, and is cancelled in line, waits for nothing where nothing is to be undone', async () => {
    const h = held()
    const inner = { name: 'inner', steps: [step('in', 'p')] }
    const w = await world([locked({ steps: [{ name: 'sub', sub_chain: 'inner' }] }), inner], {
      p: { script: [badRequest(), h.answer] },
    })
    const chains = await w.node()
    const a = await start(w, chains, w.memory.state, 'line', of('d1', 1))
    for (let i = 0; i < 4; i++) await w.env.clock.settle()
    const b = await start(w, chains, w.memory.state, 'line', of('d1', 2))
    for (let i = 0; i < 4; i++) await w.env.clock.settle()
    await chains.retry(scope, a, 'ann')
    for (let i = 0; i < 4; i++) await w.env.clock.settle()
    expect(await statuses(chains, [a, b])).toEqual(['pending', 'waiting'])
    await chains.cancel(scope, a, 'ann')
    for (let i = 0; i < 4; i++) await w.env.clock.settle()
    expect(await statuses(chains, [a, b])).toEqual(['cancelled', 'waiting'])
    h.finish(OK)
    for (let i = 0; i < 4; i++) await w.env.clock.settle()
    expect((await chains.list(scope, { limit: 9 })).chains.map((c) => c['status']).toSorted()).toEqual([
      'cancelled',
      'cancelled',
      'completed',
      'completed',
    ])
    expect(await left(w)).toEqual([])
  })
})

describe('the lock and a node that dies', () => {
  it('the next runs without waiting, when the node dies right after the commit that ended the one before', async () => {
    const h = held()
    const w = await world([locked()], { p: { script: [h.answer, OK] } })
    let dead = false
    const dying = {
      ...w.memory.state,
      async commit(s: typeof scope, ops: readonly Op[], o?: { dry?: boolean }) {
        if (dead) return new Promise<never>(() => {})
        const done = await w.memory.state.commit(s, ops, o)
        dead = ops.some((op) => op.op === 'put' && op.kind === 'run' && op.value.includes('"completed"'))
        return dead ? new Promise<never>(() => {}) : done
      },
      claim: (...a: Parameters<typeof w.memory.state.claim>) =>
        dead ? new Promise<never>(() => {}) : w.memory.state.claim(...a),
    }
    const first = await w.node(dying)
    const a = await start(w, first, dying, 'line', of('d1', 1))
    const b = await start(w, first, dying, 'line', of('d1', 2))
    await w.env.clock.settle()
    h.finish(OK)
    await w.env.clock.settle()
    expect(dead).toBe(true)
    const second = await w.node()
    expect(await statuses(second, [a, b])).toEqual(['completed', 'pending'])
    expect(await second.pull()).toBe(1)
    await w.env.clock.settle()
    expect(await statuses(second, [a, b])).toEqual(['completed', 'completed'])
    expect(await left(w)).toEqual([])
  })

  it('at whichever commit a node dies, each has its turn, in order, and nothing is left of the lock', async () => {
    const deaths = await everyDeath(
      async () => {
        const taken = receiver()
        const p = scriptedProvider('p', [taken.accept()])
        const two = locked({
          steps: ['one', 'two'].map((name) => step(name, 'p', { payload_template: { no: '{{origin.payload.no}}' } })),
        })
        return { taken, w: await world([two], { p: { provider: p } }) }
      },
      async ({ w }, chains, store) => {
        for (const no of [1, 2, 3]) await start(w, chains, store, 'line', of('d1', no))
        await w.env.clock.advance(1000)
      },
      async ({ w, taken }, chains, label) => {
        const all = (await chains.list(scope, { limit: 10 })).chains
        expect(
          all.map((c) => c['status']),
          label,
        ).toEqual(all.map(() => 'completed'))
        expect(taken.effects.size, label).toBe(all.length * 2)
        const order = [...taken.effects.values()].map((r) => ((r as JsonObject)['payload'] as JsonObject)['no'])
        expect(order, label).toEqual([...order].sort())
        expect(await left(w), label).toEqual([])
      },
    )
    expect(deaths).toBeGreaterThan(9)
  })

  it('at whichever commit a node dies while one in line is cancelled, and another brought back', async () => {
    const deaths = await everyDeath(
      async () => {
        const taken = receiver()
        const p = scriptedProvider('p', [badRequest(), taken.accept()])
        return { taken, w: await world([locked()], { p: { provider: p } }) }
      },
      async ({ w }, chains, store) => {
        const a = await start(w, chains, store, 'line', of('d1', 1))
        await w.env.clock.settle()
        const b = await start(w, chains, store, 'line', of('d1', 2))
        const c = await start(w, chains, store, 'line', of('d1', 3))
        await Promise.all([chains.retry(scope, a, 'ann'), chains.cancel(scope, c, 'ann')])
        expect(b).not.toBe(c)
        await w.env.clock.advance(1000)
      },
      async ({ w, taken }, chains, label) => {
        const all = (await chains.list(scope, { limit: 10 })).chains
        const done = all.filter((c) => c['status'] === 'completed').length
        for (const c of all) expect(['completed', 'cancelled', 'failed'], label).toContain(c['status'])
        expect(taken.effects.size, label).toBe(done)
        expect(await left(w), label).toEqual([])
      },
    )
    expect(deaths).toBeGreaterThan(9)
  })
})
