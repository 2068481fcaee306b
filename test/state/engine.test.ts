import type { DatabaseSync } from 'node:sqlite'
import { describe, expect, it, vi } from 'vitest'
import { StateUnavailable, StateUnknown } from '../../src/core/errors.ts'
import type { Op } from '../../src/core/state.ts'
import { batching, nextTurn } from '../../src/state/batching.ts'
import { Engine, type Write } from '../../src/state/sqlite/engine.ts'
import { Fatal } from '../../src/state/sqlite/failure.ts'
import { openHere } from '../../src/state/sqlite/here.ts'
import { answerText, type Read, type Reads } from '../../src/state/sqlite/reads.ts'
import { openWriter } from '../../src/state/sqlite/schema.ts'
import { storeOver } from '../../src/state/sqlite/store.ts'
import { testEnv } from '../fakes/env.ts'
import { SOON } from '../fakes/soon.ts'
import { memoryState } from '../fakes/store.ts'
import { failure, preparing } from './preparing.ts'

const scope = ['a', 'b'] as const
const S = '1:a1:b'
const put = (id: string, more: Partial<Extract<Op, { op: 'put' }>> = {}): Op => ({
  op: 'put',
  kind: 'k',
  id,
  value: id,
  version: id,
  ...more,
})
const memory = () => openWriter({ path: ':memory:', synchronous: 'normal' })
const commit = (...ops: Op[]): Write => ['commit', S, ops, false]
const count = (db: DatabaseSync, table: string) => Number(db.prepare(`SELECT count(*) AS n FROM ${table}`).get()!['n'])

/** The connection as it is, but running the statement `sql` fails as SQLite would, while `fails` says so. */
function failing(db: DatabaseSync, sql: string, errcode: number, fails: () => boolean): DatabaseSync {
  return preparing(db, (text, made) => {
    if (text !== sql) return made
    return {
      run() {
        if (!fails()) return made.run()
        throw failure(errcode)
      },
    }
  })
}

describe('a batch', () => {
  it('is one transaction, and its commits are decided one after the other', () => {
    const engine = new Engine(memory(), 0)
    const answers = engine.run(0, [
      commit(put('a', { ifVersion: null })),
      commit(put('a', { ifVersion: null })),
      commit(put('b'), { op: 'count', id: 'n', by: 2, limit: 1, expiresAt: 9 }),
      commit({ op: 'count', id: 'n', by: 1, limit: 1, expiresAt: 9 }),
    ])
    expect(answers.map(([kind, v]) => [kind, (v as { ok: boolean }).ok])).toEqual([
      [0, true],
      [0, false],
      [0, false],
      [0, true],
    ])
  })
  it('PITFALLS 69: one commit that cannot be written takes no other with it', () => {
    const db = memory()
    const engine = new Engine(db, 0)
    const bad = { ...put('bad'), attempts: {} } as unknown as Op
    const answers = engine.run(0, [
      commit(put('a')),
      commit(bad),
      commit({ op: 'nonsense' } as unknown as Op),
      commit(put('b'), { op: 'count', id: 'n', by: 1, expiresAt: 9 }),
    ])
    expect(answers.map(([kind]) => kind)).toEqual([0, 1, 1, 0])
    expect(db.isTransaction).toBe(false)
    expect(
      db
        .prepare('SELECT id FROM entry ORDER BY id')
        .all()
        .map((r) => r['id']),
    ).toEqual(['a', 'b'])
    expect(engine.run(0, [commit({ op: 'count', id: 'n', by: 1, expiresAt: 9 })])[0]).toMatchObject([
      0,
      { results: [{ n: 2 }] },
    ])
  })
  it('BEGIN that fails: nothing was done', () => {
    const engine = new Engine(
      failing(memory(), 'BEGIN IMMEDIATE', 5, () => true),
      0,
    )
    expect(engine.run(0, [commit(put('a')), commit(put('b'))]).map(([kind]) => kind)).toEqual([1, 1])
  })
  it('COMMIT that fails and leaves no transaction: all of it is void and unknown, and nothing remembered is believed', () => {
    const db = memory()
    let fails = false
    const proxied = failing(db, 'COMMIT', 13, () => {
      if (fails) db.exec('ROLLBACK')
      return fails
    })
    const engine = new Engine(proxied, 0)
    const ops = () =>
      commit({ op: 'count', id: 'n', by: 1, expiresAt: 9 }, { op: 'admit', id: 'w', max: 9, windowMs: 9 })
    engine.run(0, [ops()])
    fails = true
    expect(engine.run(0, [ops(), commit(put('a', { dueAt: 0 }))]).map(([kind]) => kind)).toEqual([2, 2])
    fails = false
    expect(engine.run(0, [ops()])[0]).toMatchObject([0, { results: [{ n: 2 }, { n: 2 }] }])
    expect(engine.run(0, [['claim', { kind: 'k', owner: 'w', leaseMs: 9, limit: 9 }]])[0]).toEqual([0, []])
  })
  it('what is remembered of an entry under a claim is not believed after a batch that became void', () => {
    let fails = false
    const db = memory()
    const proxied = failing(db, 'COMMIT', 13, () => {
      if (fails) db.exec('ROLLBACK')
      return fails
    })
    const engine = new Engine(proxied, 0)
    engine.run(0, [commit(put('a', { claim: { owner: 'me', until: 99 } }))])
    fails = true
    expect(engine.run(0, [commit(put('a', { version: 'lost', claim: { owner: 'me', until: 99 } }))])[0]![0]).toBe(2)
    fails = false
    expect(engine.run(0, [commit(put('a', { version: 'next', ifVersion: 'a' }))])[0]![1]).toMatchObject({ ok: true })
    expect(count(db, 'entry')).toBe(1)
  })
  it('a claim that became void gives its entry and no number a second time', () => {
    const db = memory()
    let fails = false
    const engine = new Engine(
      failing(db, 'COMMIT', 13, () => {
        if (fails) db.exec('ROLLBACK')
        return fails
      }),
      0,
    )
    engine.run(0, [commit(put('a', { dueAt: 0 }), put('b', { dueAt: 0 }))])
    const claim: Write = ['claim', { kind: 'k', owner: 'w', leaseMs: 9, limit: 1 }]
    fails = true
    expect(engine.run(0, [claim])[0]?.[0]).toBe(2)
    fails = false
    const numbers = [engine.run(0, [claim]), engine.run(0, [claim])].map(
      ([answer]) => (answer![1] as { claim: { number: number } }[])[0]!.claim.number,
    )
    expect(numbers.every((n) => n > 1)).toBe(true)
    expect(new Set(numbers).size).toBe(2)
  })
  it('a failure of the medium ends it: callers unknown, the process told once, later calls refused', async () => {
    const env = testEnv()
    const db = failing(memory(), 'COMMIT', 10 | (4 << 8), () => true) // SQLITE_IOERR_FSYNC
    expect(() => new Engine(db, 0).run(0, [commit(put('a'))])).toThrow(Fatal)
    const fatal: Error[] = []
    const fresh = failing(memory(), 'COMMIT', 10, () => true)
    const { state } = openHere({ db: fresh, ...env, onFatal: (e) => fatal.push(e), onClose: () => {} })
    const both = await Promise.allSettled([state.commit(scope, [put('a')]), state.commit(scope, [put('b')])])
    expect(both.map((r) => r.status === 'rejected' && r.reason instanceof StateUnknown)).toEqual([true, true])
    await expect(state.commit(scope, [put('c')])).rejects.toThrow(StateUnavailable)
    expect(fatal).toHaveLength(1)
  })
})

describe('the channel', () => {
  it('a worker that acted and died before it answered: unknown for those in flight, unavailable for the rest, one read tells', async () => {
    const env = testEnv()
    const db = memory()
    const engine = new Engine(db, env.clock.now())
    let dies = false
    const writer = batching<Write>(
      {
        async run(batch) {
          const answers = engine.run(env.clock.now(), batch)
          if (dies) throw new Error('the thread is gone')
          return answers
        },
        close: async () => {},
      },
      nextTurn(queueMicrotask),
      StateUnknown,
    )
    const reader = batching<never>(
      { run: async () => [], close: async () => {} },
      nextTurn(queueMicrotask),
      StateUnavailable,
    )
    const { state } = storeOver({ writer, reader, ...env })
    await state.commit(scope, [put('a')])
    dies = true
    const inFlight = state.commit(scope, [put('b')])
    await Promise.resolve()
    const waiting = state.commit(scope, [put('c')])
    await expect(inFlight).rejects.toThrow(StateUnknown)
    await expect(waiting).rejects.toThrow(StateUnavailable)
    const again = openHere({ db, ...env, onFatal: () => {}, onClose: () => {} }).state
    const found = await again.get(['a', 'b', 'c'].map((id) => ({ kind: 'k', scope, id })))
    expect(found.map((e) => e?.value)).toEqual(['a', 'b', undefined])
  })
  it('calls made while a batch is under way travel together', async () => {
    const sizes: number[] = []
    let free: () => void = () => {}
    const channel = batching<number>(
      {
        async run(batch) {
          sizes.push(batch.length)
          await new Promise<void>((r) => {
            free = r
          })
          return batch.map((n) => [0, n])
        },
        close: async () => {},
      },
      nextTurn(queueMicrotask),
      StateUnknown,
    )
    const first = channel.call(1)
    await Promise.resolve()
    const rest = [2, 3, 4].map((n) => channel.call(n))
    free()
    expect(await first).toBe(1)
    await Promise.resolve()
    free()
    expect(await Promise.all(rest)).toEqual([2, 3, 4])
    expect(sizes).toEqual([1, 3])
    await channel.close()
    await expect(channel.call(5)).rejects.toThrow(StateUnavailable)
  })
  it('a read whose answer is too long for a text is refused by itself', () => {
    const endless = {
      toJSON() {
        throw new RangeError('Invalid string length')
      },
    }
    const reads = { run: ([what]: Read) => (what === 'depths' ? endless : [1]) } as unknown as Reads
    const calls: Read[] = [['depths'], ['scopes', 'k', undefined, 1]]
    const told = calls.map((call) => JSON.parse(answerText(reads, call, 0)))
    expect(told).toEqual([
      [1, 'Invalid string length'],
      [0, [1]],
    ])
  })
  it('what waits is spread over as many batches as may be under way, none of them too small', async () => {
    const sizes: number[] = []
    const free: (() => void)[] = []
    const channel = batching<number>(
      {
        async run(batch) {
          sizes.push(batch.length)
          await new Promise<void>((r) => void free.push(r))
          return batch.map((n) => [0, n])
        },
        close: async () => {},
      },
      { ...nextTurn(queueMicrotask), atOnce: 2 },
      StateUnknown,
    )
    const call = (n: number) => Promise.all(Array.from({ length: n }, (_, i) => channel.call(i)))
    const first = call(41)
    await Promise.resolve()
    expect(sizes).toEqual([21, 20])
    const more = [call(3), call(4)]
    await Promise.resolve()
    expect(sizes).toEqual([21, 20])
    free[1]!()
    await vi.waitUntil(() => sizes.length === 3, SOON)
    expect(sizes).toEqual([21, 20, 7])
    free[0]!()
    free[2]!()
    expect((await first).length + (await Promise.all(more)).flat().length).toBe(48)
    const closing = [call(9), channel.close()]
    await vi.waitUntil(() => free.length === 4, SOON)
    free[3]!()
    await Promise.all(closing)
    expect(sizes).toEqual([21, 20, 7, 9])
  })
  it('a batch gathers as long as turns bring more, and no longer than it is told', async () => {
    const sizes: number[] = []
    const turns: (() => void)[] = []
    const channel = batching<number>(
      {
        async run(batch) {
          sizes.push(batch.length)
          return batch.map((n) => [0, n])
        },
        close: async () => {},
      },
      { turn: (then) => void turns.push(then), quiet: 2, most: 5 },
      StateUnknown,
    )
    const turn = (): void => turns.shift()!()
    const alone = channel.call(1)
    turn()
    turn()
    expect(sizes).toEqual([])
    turn() // the second in succession that brought nothing
    expect(await alone).toBe(1)

    const many = Array.from({ length: 7 }, (_, i) => {
      const called = channel.call(i)
      if (i < 5) turn()
      return called
    })
    expect(sizes).toEqual([1, 5])
    await Promise.all(many.slice(0, 5))
    const closed = channel.close()
    expect(await Promise.all(many)).toEqual([0, 1, 2, 3, 4, 5, 6])
    await closed
    expect(sizes).toEqual([1, 5, 2])
    for (const late of turns) late()
    expect(sizes).toEqual([1, 5, 2])
  })
})

describe('housekeeping', () => {
  it('removes expired rows in bites, and nothing that lives', async () => {
    const env = testEnv()
    const db = memory()
    const { state } = openHere({ db, ...env, onFatal: () => {}, onClose: () => {} })
    const soon = env.clock.now() + 1000
    const many = Array.from({ length: 1200 }, (_, i) => put(`e${i}`, { expiresAt: soon, tags: ['t'] }))
    await state.commit(scope, [
      ...many,
      put('lives', { tags: ['t'] }),
      put('due', { dueAt: soon }),
      { op: 'count', id: 'old', by: 5, expiresAt: soon },
      { op: 'count', id: 'young', by: 5, expiresAt: soon + 1e9 },
    ])
    await env.clock.advance(120_000)
    const left: number[] = []
    for (let i = 0; i < 4; i++) {
      await state.commit(scope, [put('tick')])
      left.push(count(db, 'entry'))
    }
    expect(left).toEqual([703, 203, 3, 3])
    expect(count(db, 'tag')).toBe(1)
    expect(count(db, 'cell')).toBe(1)
    const again = { op: 'count', by: 1, limit: 6, expiresAt: soon + 2e9 } as const
    expect(await state.commit(scope, [{ ...again, id: 'old' }])).toMatchObject({ results: [{ n: 1 }] })
    expect(await state.commit(scope, [{ ...again, id: 'young' }])).toMatchObject({ results: [{ n: 6 }] })
    expect(await state.peek('count', scope, ['old', 'young'])).toMatchObject([{ n: 1 }, { n: 6 }])
  })
  it('gives free pages back, a bite a second', async () => {
    const env = testEnv()
    const db = memory()
    const { state } = openHere({ db, ...env, onFatal: () => {}, onClose: () => {} })
    const pages = () => Number(db.prepare('PRAGMA page_count').get()!['page_count'])
    await state.commit(
      scope,
      Array.from({ length: 800 }, (_, i) =>
        put(`e${i}`, { value: 'x'.repeat(4000), expiresAt: env.clock.now() + 1000 }),
      ),
    )
    const full = pages()
    for (let i = 0; i < 6; i++) {
      await env.clock.advance(1000)
      await state.commit(scope, [put('tick')])
    }
    expect(full).toBeGreaterThan(800)
    expect(pages()).toBeLessThan(full / 2)
  })
  it('PITFALLS 71: a second node on the same data finds slots, guards and buffers, and every claim void', async () => {
    const env = testEnv()
    const one = await memoryState(env)
    await one.state.commit(scope, [
      put('a', { claim: { owner: 'one', until: env.clock.now() + 1e6 } }),
      { op: 'slot', id: 's', holder: 'one', max: 1, until: env.clock.now() + 50 },
    ])
    const two = await one.restart()
    expect(await two.state.claim('k', { owner: 'two', leaseMs: 9, limit: 9 })).toMatchObject([{ key: { id: 'a' } }])
    const slot: Op = { op: 'slot', id: 's', holder: 'two', max: 1, until: env.clock.now() + 1000 }
    expect((await two.state.commit(scope, [slot])).ok).toBe(false)
    await env.clock.advance(50)
    expect((await two.state.commit(scope, [slot])).ok).toBe(true)
  })
})
