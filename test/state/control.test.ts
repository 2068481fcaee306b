import { getHeapStatistics, setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { describe, expect, it } from 'vitest'
import { GLOBAL } from '../../src/core/action.ts'
import { StateUnavailable, StateUnknown } from '../../src/core/errors.ts'
import { openControl } from '../../src/state/control.ts'
import { testEnv } from '../fakes/env.ts'
import { memoryState, type Trouble, troubled } from '../fakes/store.ts'

/** A topic on a store whose calls meet the given troubles, one after another, and none after those. */
async function topic() {
  const env = testEnv()
  const { state } = await memoryState(env)
  let troubles: readonly Trouble[] = []
  const next = (): Trouble => {
    const [first = 'none', ...rest] = troubles
    troubles = rest
    return first
  }
  const closing = new AbortController()
  const store = troubled(state, env.clock, next)
  const control = await openControl(store, 't', { ...env, closed: closing.signal })
  const told: (string | undefined)[] = []
  control.subscribe((_, doc) => told.push(doc?.value))
  return {
    env,
    control,
    told,
    closing,
    meets: (...them: readonly Trouble[]) => {
      troubles = them
    },
    left: () => troubles.length,
    stored: async () => (await state.get([{ kind: 'control:t', scope: GLOBAL, id: 'a' }]))[0]?.value,
  }
}

describe('a control document whose write was not answered', () => {
  it('PITFALLS 61: is what one read tells', async () => {
    const { control, meets, told } = await topic()
    meets('lost')
    await expect(control.put('a', '1')).rejects.toThrow(StateUnknown)
    expect(control.get('a')?.value).toBe('1')
    expect(told).toEqual(['1'])
  })

  it('where that read fails too, the caller hears that it may be done, and memory follows within a second of the store being back', async () => {
    const { env, control, meets, told, stored } = await topic()
    meets('lost', 'unavailable', 'unavailable', 'unavailable')
    await expect(control.put('a', '1')).rejects.toThrow(StateUnknown)
    expect([await stored(), control.get('a')]).toEqual(['1', undefined])
    await env.clock.advance(2999)
    expect(control.get('a')).toBeUndefined()
    await env.clock.advance(1)
    expect(control.get('a')?.value).toBe('1')
    expect(told).toEqual(['1'])
    expect(env.clock.pending).toBe(0)
  })

  it('a delete likewise, once for all that is in doubt', async () => {
    const { env, control, meets, told } = await topic()
    await control.put('a', '1')
    await control.put('b', '1')
    meets('lost', 'unavailable', 'lost', 'unavailable')
    await expect(control.delete('a')).rejects.toThrow(StateUnknown)
    await expect(control.delete('b')).rejects.toThrow(StateUnknown)
    expect([control.all().length, env.clock.pending]).toEqual([2, 1])
    await env.clock.advance(1000)
    expect(control.all()).toEqual([])
    expect(told).toEqual(['1', '1', undefined, undefined])
  })

  it('is read again before it is written again, so that a version is compared with what is stored', async () => {
    const { control, meets, told, stored, left } = await topic()
    meets('lost', 'unavailable', 'unavailable')
    await expect(control.put('a', '1', { ifVersion: null })).rejects.toThrow(StateUnknown)
    // Nothing was written, and that is what is said.
    await expect(control.put('a', '2')).rejects.toThrow(StateUnavailable)
    expect([await stored(), left()]).toEqual(['1', 0])
    expect(await control.put('a', '2', { ifVersion: null })).toBe(false)
    expect(await control.put('a', '2', { ifVersion: control.get('a')!.version })).toBe(true)
    expect(told).toEqual(['1', '2'])
  })

  it('is not taken back to what was read before a later write of it ended', async () => {
    const { env, control, meets, told } = await topic()
    // It reads while 1 is stored, and hears so when 2 is.
    meets('lost', { after: 100 })
    const lost = expect(control.put('a', '1')).rejects.toThrow(StateUnknown)
    await env.clock.settle()
    expect(await control.put('a', '2')).toBe(true)
    await env.clock.advance(100)
    await lost
    expect(told).toEqual(['1', '2'])
    expect(control.get('a')?.value).toBe('2')
  })

  it('is asked for no more once the store is closed', async () => {
    const { env, control, meets, closing, left } = await topic()
    meets('lost', 'unavailable', 'unavailable')
    await expect(control.put('a', '1')).rejects.toThrow(StateUnknown)
    closing.abort()
    await env.clock.advance(10_000)
    expect([left(), env.clock.pending]).toEqual([1, 0])
  })
})

it('a document that is gone leaves nothing in memory', async () => {
  setFlagsFromString('--expose-gc')
  const collect = runInNewContext('gc') as () => void
  const inUse = (): number => {
    collect()
    return getHeapStatistics().used_heap_size
  }
  const { control } = await topic()
  const comeAndGo = async (n: number): Promise<void> => {
    const id = `${n}`.padEnd(LONG, '-')
    await control.put(id, '1')
    await control.delete(id)
  }
  for (let n = 0; n < 10; n++) await comeAndGo(n)
  const before = inUse()
  for (let n = 10; n < 110; n++) await comeAndGo(n)
  expect(inUse() - before).toBeLessThan(20 * LONG)
})
/** Characters of an id: a hundred of them are not to be overlooked. */
const LONG = 200_000

describe('a topic that other processes write too', () => {
  async function two() {
    const env = testEnv()
    const { state } = await memoryState(env)
    const closing = new AbortController()
    const rings: (() => void)[] = []
    let troubles: readonly Trouble[] = []
    const store = troubled(state, env.clock, () => {
      const [first = 'none', ...rest] = troubles
      troubles = rest
      return first
    })
    const open = (of: typeof state) =>
      openControl(of, 't', {
        ...env,
        closed: closing.signal,
        shared: { hint: (_, ring) => void rings.push(ring) },
      })
    const [ours, theirs] = [await open(store), await open(state)]
    const meets = (...them: readonly Trouble[]): void => {
      troubles = them
    }
    const told: (string | undefined)[] = []
    ours.subscribe((_, doc) => told.push(doc?.value))
    return { env, ours, theirs, told, closing, rings, meets }
  }

  it('two documents are put in one commit, or none; what it was refused for is known at once', async () => {
    const { ours, theirs } = await two()
    const guard = (ifVersion: string | null) => ({ beside: { id: '!', value: '', ifVersion } })
    expect(await ours.put('a', '1', guard(null))).toBe(true)
    expect(ours.all().map((d) => d.id)).toEqual(['!', 'a'])
    expect(theirs.all()).toEqual([])
    expect(await theirs.put('b', '1', guard(null))).toBe(false)
    expect(theirs.all()).toEqual(ours.all())
    expect(await theirs.delete('a', guard(theirs.get('!')!.version))).toBe(true)
    expect(await ours.put('c', '1', guard(ours.get('!')!.version))).toBe(false)
    expect(ours.all()).toEqual(theirs.all())
  })

  it('has their changes within a second, each told once', async () => {
    const { env, ours, theirs, told } = await two()
    await theirs.put('a', '1')
    await theirs.put('b', '1')
    expect(ours.all()).toEqual([])
    await env.clock.advance(1000)
    expect(told).toEqual(['1', '1'])
    await theirs.delete('a')
    await env.clock.advance(1000)
    expect([ours.get('a'), told]).toEqual([undefined, ['1', '1', undefined]])
    await ours.put('b', '2')
    await env.clock.advance(1000)
    expect([theirs.get('b')?.value, told.at(-1), told.length]).toEqual(['2', '2', 4])
  })

  it('has them at once where somebody rings, also while it looks', async () => {
    const { env, ours, theirs, rings } = await two()
    await theirs.put('a', '1')
    rings[0]!()
    rings[0]!()
    await env.clock.advance(0)
    expect(ours.get('a')?.value).toBe('1')
  })

  it('keeps what it knows while the store does not answer, and follows when it does', async () => {
    const { env, ours, theirs, meets } = await two()
    await theirs.put('a', '1')
    await env.clock.advance(1000)
    await theirs.put('a', '2')
    meets('unavailable', 'lost')
    await env.clock.advance(1600)
    expect(ours.get('a')?.value).toBe('1')
    await env.clock.advance(1000)
    expect(ours.get('a')?.value).toBe('2')
  })

  it('ends with the store', async () => {
    const { env, closing } = await two()
    closing.abort()
    await env.clock.advance(0)
    expect(env.clock.pending).toBe(0)
  })
})
