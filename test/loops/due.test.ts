import { beforeEach, describe, expect, test } from 'vitest'
import type { Scope } from '../../src/core/action.ts'
import type { Claimed, StateStore } from '../../src/core/state.ts'
import { type DueWork, dueLoop } from '../../src/loops/due.ts'
import { startLoops } from '../../src/loops/loop.ts'
import { type TestEnv, testEnv } from '../fakes/env.ts'
import { crashing, type MemoryState, memoryState } from '../fakes/store.ts'

const SCOPE: Scope = ['a', 'b']
const KIND = 'work'

let env: TestEnv
let store: MemoryState
let state: StateStore

beforeEach(async () => {
  env = testEnv()
  store = await memoryState(env)
  state = store.state
})

const put = (id: string, scope = SCOPE) =>
  state.commit(scope, [{ op: 'put', kind: KIND, id, value: '', version: `v-${id}`, dueAt: env.clock.now() }])
const end = async (entry: Claimed, on: StateStore = state): Promise<void> => {
  await on.commit(entry.key.scope, [{ op: 'delete', kind: KIND, id: entry.key.id, ifClaim: entry.claim }])
}
const left = async (scope = SCOPE): Promise<string[]> =>
  (await state.list(KIND, scope, { limit: 100 })).entries.map((e) => e.key.id)
const loop = (work: Partial<DueWork> & Pick<DueWork, 'handle'>, on: StateStore = state, owner = 'me') =>
  dueLoop(
    { env, state: on, owner, config: { holdMaxAttempts: 4 } },
    { name: 'work', kind: KIND, everyMs: 1_000, batch: 8, ...work },
  )

describe('dueLoop', () => {
  test('handles everything due, a tick never waiting for its handlers', async () => {
    for (let i = 0; i < 20; i++) await put(`e${i}`)
    const done: string[] = []
    const work = loop({
      async handle(entry) {
        await end(entry)
        done.push(entry.key.id)
      },
    })
    expect(await work.tick(new AbortController().signal)).toBe(20)
    await work.idle()
    expect(done.length).toBe(20)
    expect(await left()).toEqual([])
  })
  test('PITFALLS 25: one slow handler keeps only its own place', async () => {
    await put('slow')
    let release: () => void = () => {}
    const done: string[] = []
    const work = loop({
      concurrency: 2,
      async handle(entry) {
        if (entry.key.id === 'slow') await new Promise<void>((r) => (release = r))
        await end(entry)
        done.push(entry.key.id)
      },
    })
    const loops = startLoops([work], env)
    await env.clock.advance(1_000)
    for (let i = 0; i < 10; i++) await put(`e${i}`)
    await env.clock.advance(2_000)
    expect(done.length).toBe(10)
    release()
    await loops.stop()
    expect(await left()).toEqual([])
  })
  test('never more handlers at once than there is room for', async () => {
    for (let i = 0; i < 30; i++) await put(`e${i}`)
    let now = 0
    let most = 0
    const work = loop({
      concurrency: 3,
      async handle(entry) {
        most = Math.max(most, ++now)
        await env.clock.sleep(10)
        await end(entry)
        now--
      },
    })
    const loops = startLoops([work], env)
    await env.clock.advance(5_000)
    expect(most).toBe(3)
    expect(await left()).toEqual([])
    await loops.stop()
  })
  test('PITFALLS 28: one that always throws is counted first, delays only itself, waits longer, and is given up', async () => {
    await put('bad')
    const tries: { at: number; attempts: number }[] = []
    const given: string[] = []
    const work = loop({
      async handle(entry) {
        if (entry.key.id !== 'bad') return end(entry)
        tries.push({ at: env.clock.now(), attempts: entry.attempts })
        throw new Error('poison')
      },
      async onExhausted(entry, error) {
        given.push(`${entry.key.id}: ${error instanceof Error ? error.message : ''}`)
        await end(entry)
      },
    })
    const loops = startLoops([work], env)
    await env.clock.advance(500)
    await put('good')
    await env.clock.advance(1_000)
    expect(await left()).toEqual(['bad'])
    await env.clock.advance(60_000)
    expect(tries.map((t) => t.attempts)).toEqual([1, 2, 3, 4])
    expect(tries[1]!.at - tries[0]!.at).toBeGreaterThanOrEqual(1_000)
    expect(given).toEqual(['bad: poison'])
    expect(await left()).toEqual([])
    await loops.stop()
  })
  test('PITFALLS 28: what is put back waits up to twice as long each time, and five minutes at most', async () => {
    await put('bad')
    const work = dueLoop(
      {
        env: { ...env, random: { ...env.random, float: () => 0.999 } },
        state,
        owner: 'me',
        config: { holdMaxAttempts: 99 },
      },
      { name: 'work', kind: KIND, everyMs: 1_000, batch: 8, handle: () => Promise.reject(new Error('poison')) },
    )
    const waits: number[] = []
    while (waits.length < 11) {
      await work.tick(new AbortController().signal)
      await work.idle()
      const [entry] = await state.get([{ kind: KIND, scope: SCOPE, id: 'bad' }])
      waits.push(Math.round((entry!.dueAt! - env.clock.now()) / 1_000))
      await env.clock.advance(entry!.dueAt! - env.clock.now())
    }
    expect(waits).toEqual([2, 4, 8, 16, 32, 64, 128, 256, 300, 300, 300])
  })
  test('PITFALLS 18, 28: a worker that dies in the middle leaves the entry, its attempt counted; another takes it over', async () => {
    await put('e')
    const dying = crashing(state, 2, 'before') // the claim is its first write, the end of the work its second
    const first = loop({ handle: (entry) => end(entry, dying) }, dying, 'first')
    await expect(first.tick(new AbortController().signal)).rejects.toThrow('dead')
    await first.idle()
    store = await store.restart()
    state = store.state
    const seen: number[] = []
    const second = loop(
      {
        async handle(entry) {
          seen.push(entry.attempts)
          await end(entry)
        },
      },
      state,
      'second',
    )
    await env.clock.advance(31_000)
    await second.tick(new AbortController().signal)
    await second.idle()
    expect(seen).toEqual([2])
    expect(await left()).toEqual([])
  })
  test('PITFALLS 65: a handler longer than its lease keeps it; once the claim is lost it is told so', async () => {
    await put('e')
    let lost: AbortSignal | undefined
    let taken: Claimed | undefined
    let release: () => void = () => {}
    const work = loop({
      async handle(entry, signal) {
        taken = entry
        lost = signal
        await new Promise<void>((r) => (release = r))
      },
    })
    await work.tick(new AbortController().signal)
    await env.clock.advance(120_000)
    expect(lost?.aborted).toBe(false)
    expect(await state.claim(KIND, { owner: 'other', leaseMs: 1_000, limit: 1 })).toEqual([])
    await state.commit(SCOPE, [{ op: 'delete', kind: KIND, id: 'e', ifClaim: taken!.claim }])
    await env.clock.advance(11_000)
    expect(lost?.aborted).toBe(true)
    release()
    await work.idle()
  })
  test('a scope with much to do takes turns with the others', async () => {
    for (let i = 0; i < 50; i++) await put(`e${i}`, ['a', 'big'])
    await put('one', ['z', 'small'])
    const order: string[] = []
    const work = loop({
      perScope: 2,
      async handle(entry) {
        order.push(entry.key.scope[1])
        await end(entry)
      },
    })
    await work.tick(new AbortController().signal)
    await work.idle()
    expect(order.indexOf('small')).toBeLessThan(4)
    expect(order.length).toBe(51)
  })
  test('stop claims nothing more and waits for handlers', async () => {
    for (let i = 0; i < 5; i++) await put(`e${i}`)
    const releases: (() => void)[] = []
    const work = loop({
      concurrency: 2,
      async handle(entry) {
        await new Promise<void>((r) => releases.push(r))
        await end(entry)
      },
    })
    const loops = startLoops([work], env)
    await env.clock.advance(1_000)
    const stopping = loops.stop()
    for (const release of releases) release()
    await stopping
    expect((await left()).length).toBe(3)
  })
})
