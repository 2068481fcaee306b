import { expect } from 'vitest'
import { kinds } from '../../src/core/hold.ts'
import type { Outcome } from '../../src/core/outcome.ts'
import type { StateStore } from '../../src/core/state.ts'
import { LEASE_MS } from '../../src/delivery/lease.ts'
import { type TestEnv, testEnv } from '../fakes/env.ts'
import { type House, type HouseOptions, testHouse } from '../fakes/house.ts'
import { type Receiver, receiver, type ScriptedProvider } from '../fakes/provider.ts'
import { type Crash, type Crashing, crashing, type MemoryState, memoryState, replyLost } from '../fakes/store.ts'
import { DUE, work } from './work.ts'

/*
 * A node dies at each of its writes in each way; another one finishes. What must hold then, whatever the scenario:
 * every token one body (the receiver's own check), nothing due left behind, no run recorded twice, and what was
 * promised had its effect once.
 */

interface Story {
  readonly house: House
  readonly told: (Outcome | undefined)[]
  /** A dispatch whose caller may get no answer. */
  say(action: object, request?: Parameters<House['dispatch']>[1]): Promise<void>
  /** Time passes, and what is due is worked on. */
  pass(ms: number): Promise<void>
}
export interface Scenario {
  readonly rules?: string
  readonly toml?: string
  readonly providers: (taken: Receiver) => readonly ScriptedProvider[]
  readonly play: (story: Story) => Promise<void>
  /** Effects expected where nothing dies. */
  readonly effects: number
  /** Looked at after the second node has finished. */
  readonly check?: (end: End) => Promise<void> | void
}
export interface End {
  readonly told: readonly (Outcome | undefined)[]
  readonly two: House
  readonly taken: Receiver
  readonly providers: readonly ScriptedProvider[]
}

/** What the store throws ends a step of the story, as it ends a request or a turn of a loop. */
export async function through(env: TestEnv, act: () => Promise<void>): Promise<void> {
  const done = act().catch((e: unknown) => {
    if (!(e instanceof Error) || !/^State(Unknown|Unavailable)$/.test(e.name)) throw e
  })
  let over = false
  void done.finally(() => {
    over = true
  })
  // A closing commit that finds the store away is tried again a few times.
  for (let i = 0; i < 6 && !over; i++) await env.clock.advance(i === 0 ? 0 : 1000)
  await done
}

function storyOf(house: House): Story {
  const told: (Outcome | undefined)[] = []
  const { env } = house
  return {
    house,
    told,
    async say(action, request) {
      const at = told.push(undefined) - 1
      await through(env, async () => {
        told[at] = await house.dispatch(action, request)
      })
      await env.clock.settle()
    },
    async pass(ms) {
      await env.clock.advance(ms)
      await through(env, async () => void (await work(house)))
    },
  }
}

interface Run {
  readonly env: TestEnv
  readonly memory: MemoryState
  readonly options: HouseOptions
  readonly taken: Receiver
  readonly providers: readonly ScriptedProvider[]
}
async function set(s: Scenario): Promise<Run> {
  const env = testEnv()
  const taken = receiver()
  const providers = s.providers(taken)
  const options: HouseOptions = {
    env,
    providers,
    loops: false,
    ...(s.rules !== undefined && { rules: s.rules }),
    ...(s.toml !== undefined && { toml: s.toml }),
  }
  return { env, memory: await memoryState(env), options, taken, providers }
}
const nodeOf = async (run: Run, memory: MemoryState, wrap: (s: StateStore) => StateStore = (s) => s) =>
  storyOf(await testHouse({ ...run.options, memory, wrap }))

/** Long enough for every lease and every put-back. */
async function finish(story: Story): Promise<void> {
  for (let i = 0; i < 8; i++) await story.pass(35_000)
}

async function nothingLeft(two: House, run: Run): Promise<void> {
  for (const kind of [...DUE, kinds.occurrence]) expect([kind, await two.stored(kind)]).toEqual([kind, []])
  expect(run.taken.conflicts).toEqual([])
  const records = await two.records()
  // One record of each kind of work a run did: an interrupted one and its take-over are two requests.
  const ends = records.map(
    (r) => `${r.kind} ${r.run_id} ${r.action_id} ${JSON.stringify(r.details ?? null).includes('interrupted')}`,
  )
  expect(new Set(ends).size).toBe(ends.length)
}

export async function crashes(s: Scenario): Promise<void> {
  const clean = await set(s)
  let counted: Crashing | undefined
  const story = await nodeOf(clean, clean.memory, (state) => {
    counted = crashing(state, Number.POSITIVE_INFINITY, 'before')
    return counted
  })
  await s.play(story)
  const writes = counted!.writes
  expect(clean.taken.effects.size).toBe(s.effects)
  await finish(story)
  expect(clean.taken.effects.size).toBe(s.effects)
  await nothingLeft(story.house, clean)
  for (const when of ['before', 'after', 'reply-lost'] as const satisfies readonly Crash[])
    for (let n = 1; n <= writes; n++) {
      const run = await set(s)
      let dead: Crashing | undefined
      const one = await nodeOf(run, run.memory, (state) => {
        dead = crashing(state, n, when)
        return dead
      })
      await s.play(one)
      expect([n, when, dead?.crashed]).toEqual([n, when, true])
      const stopped = one.house.stop()
      // Chains try to store an end until their lease is over.
      await run.env.clock.advance(LEASE_MS + 5_000)
      await stopped
      const two = await nodeOf(run, await run.memory.restart())
      await finish(two)
      await withPlace(`${when} write ${n}`, async () => {
        await nothingLeft(two.house, run)
        await s.check?.({ told: one.told, two: two.house, taken: run.taken, providers: run.providers })
      })
    }
  for (let n = 1; n <= writes; n++) {
    const run = await set(s)
    const one = await nodeOf(run, run.memory, (state) => replyLost(state, (i) => i === n))
    await s.play(one)
    await finish(one)
    await withPlace(`reply ${n} lost`, async () => {
      await nothingLeft(one.house, run)
      await s.check?.({ told: one.told, two: one.house, taken: run.taken, providers: run.providers })
    })
  }
}

async function withPlace(place: string, check: () => Promise<void>): Promise<void> {
  try {
    await check()
  } catch (e) {
    if (e instanceof Error) e.message = `${place}: ${e.message}`
    throw e
  }
}
