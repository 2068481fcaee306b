import { describe, expect, it } from 'vitest'
import type { Chains } from '../../src/chains/chains.ts'
import { canonicalJson, type JsonObject } from '../../src/core/json.ts'
import type { StateStore } from '../../src/core/state.ts'
import { deleteDeadLetter } from '../../src/delivery/dead-letters.ts'
import { badRequest, OK, type Receiver, receiver, scriptedProvider, unavailable } from '../fakes/provider.ts'
import { type Crash, crashing, replyLost } from '../fakes/store.ts'
import {
  actionOf,
  audit,
  guide,
  guideProviders,
  letters,
  line,
  reading,
  scope,
  start,
  step,
  stepsOf,
  type World,
  world,
} from './set-up.ts'

const RUN = '019b8e4a-0000-7000-8000-000000000001'
const bodies: Record<string, JsonObject> = {
  'telemetry-normalizer': { logged: true },
  'anomaly-detector': { anomaly: true },
}

/** The guide's providers, behind an endpoint that honours tokens. */
async function guideWorld() {
  const taken = receiver()
  const given = Object.fromEntries(
    guideProviders.map((name) => [
      name,
      { provider: scriptedProvider(name, [taken.accept({ status: 200, body: bodies[name] ?? { ok: name } })]) },
    ]),
  )
  return { taken, w: await world(guide, given) }
}
const effectsOf = (taken: { effects: ReadonlyMap<string, unknown> }) =>
  [...taken.effects].map(([token, b]) => `${token} ${canonicalJson(b as JsonObject)}`).sort()

describe('PITFALLS 39, 43: the crash matrix of the guide', () => {
  it('a node dies at each of its commits, and another finishes: every effect once, one body a token', async () => {
    const clean = await guideWorld()
    const counted = crashing(clean.w.memory.state, Number.POSITIVE_INFINITY, 'before')
    const id = await start(
      clean.w,
      await clean.w.node(counted),
      counted,
      'telemetry-processing',
      actionOf(reading, 'a'),
      RUN,
    )
    await clean.w.env.clock.settle()
    const expected = effectsOf(clean.taken)
    expect(expected).toHaveLength(5)
    const commits = counted.writes
    expect(commits).toBeGreaterThan(6)
    let resent = 0

    for (let n = 2; n <= commits; n++)
      for (const when of ['before', 'after', 'reply-lost'] satisfies Crash[]) {
        const { taken, w } = await guideWorld()
        const dying = crashing(w.memory.state, n, when)
        const first = await w.node(dying)
        expect(await start(w, first, dying, 'telemetry-processing', actionOf(reading, 'a'), RUN)).toBe(id)
        await w.env.clock.settle()
        expect(dying.crashed, `${n} ${when}`).toBe(true)
        const second = await w.node()
        // The dead node's claims run out after 30 s.
        for (let s = 0; s < 10; s++) {
          await w.env.clock.advance(10_000)
          await second.pull()
        }
        const label = `commit ${n}, ${when}`
        expect(await second.get(scope, id), label).toMatchObject({ status: 'completed', steps_taken: 4 })
        expect(effectsOf(taken), label).toEqual(expected)
        resent += taken.taken - expected.length
        resent += taken.taken - expected.length
        const runs = await second.list(scope, { limit: 10 })
        expect(runs.chains.map((c) => `${c['chain_name']} ${c['status']}`).sort(), label).toEqual([
          'critical-alert completed',
          'telemetry-processing completed',
        ])
        const records = await audit(w)
        expect(records.map((r) => r.kind).sort(), label).toEqual([
          ...Array(2).fill('chain'),
          ...Array(6).fill('chain_step'),
        ])
        expect(await w.memory.state.list('inbox', scope, { limit: 10 }), label).toMatchObject({ entries: [] })
        expect(
          (await w.memory.state.depths()).find((d) => d.kind === 'run'),
          label,
        ).toBeUndefined()
      }
    // The matrix has met the case it is for: sent, but the end not stored.
    expect(resent).toBeGreaterThan(4)
  })

  it('a store that loses any one answer, or every other, but lives on: nothing is done twice', async () => {
    const clean = await guideWorld()
    await start(
      clean.w,
      await clean.w.node(),
      clean.w.memory.state,
      'telemetry-processing',
      actionOf(reading, 'a'),
      RUN,
    )
    await clean.w.env.clock.settle()
    const expected = effectsOf(clean.taken)
    const losses: ((n: number) => boolean)[] = [
      (n) => n % 2 === 0,
      ...[1, 2, 3, 4, 5, 6, 7, 8, 9].map((x) => (n: number) => n === x),
    ]
    for (const lose of losses) {
      const { taken, w } = await guideWorld()
      const flaky = replyLost(w.memory.state, lose)
      const chains = await w.node(flaky)
      const id = await start(w, chains, w.memory.state, 'telemetry-processing', actionOf(reading, 'a'), RUN)
      for (let s = 0; s < 10; s++) {
        await w.env.clock.advance(10_000)
        await chains.pull()
      }
      expect(await chains.get(scope, id)).toMatchObject({ status: 'completed' })
      expect(effectsOf(taken)).toEqual(expected)
      for (const p of Object.values(w.providers)) expect(p.sent).toHaveLength(1)
      expect((await audit(w)).filter((r) => r.kind === 'chain')).toHaveLength(2)
    }
  })
})

describe('other ends, whichever commit a node dies at', () => {
  /** Runs `act` on a node that dies at each of its commits in turn, lets another finish, and looks. */
  async function everyDeath(
    make: () => Promise<{ w: World; taken: Receiver }>,
    act: (w: World, chains: Chains, store: StateStore) => Promise<void>,
    look: (w: World, chains: Chains, taken: Receiver, label: string) => Promise<void>,
  ): Promise<number> {
    for (let n = 2; ; n++)
      for (const when of ['before', 'after', 'reply-lost'] satisfies Crash[]) {
        const { w, taken } = await make()
        const dying = crashing(w.memory.state, n, when)
        await act(w, await w.node(dying), dying).catch((e: unknown) => {
          if (!dying.crashed) throw e
        })
        await w.env.clock.settle()
        if (!dying.crashed) return n - 2
        const second = await w.node()
        for (let s = 0; s < 40; s++) {
          await w.env.clock.advance(10_000)
          await second.pull()
        }
        const label = `commit ${n}, ${when}`
        await look(w, second, taken, label)
        expect(
          (await w.memory.state.depths()).find((d) => d.kind === 'run'),
          label,
        ).toBeUndefined()
      }
  }
  const nested = [
    line({ name: 'sub', sub_chain: 'inner' }, step('after')),
    { name: 'inner', steps: [step('in'), step('in2')] },
  ]

  it('a cancel of parent and child: both end, once, and no step is begun after it', async () => {
    const matrix = everyDeath(
      async () => {
        const taken = receiver()
        const p = scriptedProvider('p', [() => Promise.reject(unavailable()), taken.accept()])
        return { taken, w: await world(nested, { p: { provider: p, maxRetries: 20 } }) }
      },
      async (w, chains, store) => {
        const id = await start(w, chains, store, 'line', actionOf(), RUN)
        await w.env.clock.settle()
        await chains.cancel(scope, id, 'ann')
      },
      async (w, chains, taken, label) => {
        const statuses = (await chains.list(scope, { limit: 10 })).chains.map((c) => c['status'])
        const cancelled = statuses.includes('cancelled')
        // Where the cancel itself did not get through, the execution goes on to its end.
        expect(new Set(statuses), label).toEqual(new Set([cancelled ? 'cancelled' : 'completed']))
        // The child's step may have been in flight when its parent's cancel reached it; the next is never sent.
        if (cancelled) expect(taken.effects.size, label).toBeLessThan(2)
        else expect(taken.effects.size, label).toBe(3)
        expect((await w.memory.state.list('inbox', scope, { limit: 10 })).entries, label).toEqual([])
        const ends = (await audit(w, { kind: 'chain' })).map((r) => r.outcome)
        expect(ends, label).toEqual(statuses)
      },
    )
    expect(await matrix).toBeGreaterThan(4)
  })

  it('a fallback inside a step: its own bytes, stored before they go out, one body a token', async () => {
    let attempts = 0
    const matrix = everyDeath(
      async () => {
        const taken = receiver()
        const p = scriptedProvider('p', [unavailable()])
        const q = scriptedProvider('q', [
          (sent) => {
            attempts++
            taken.take(sent)
            return OK
          },
        ])
        const one = step('one', 'p', { fallback_provider: 'q' })
        const w = await world(
          [line(one, step('two', 'r'))],
          { p: { provider: p, maxRetries: 2 }, q: { provider: q }, r: {} },
          { thresholds: { p: 1 } },
        )
        return { taken, w }
      },
      async (w, chains, store) => {
        await start(w, chains, store, 'line', actionOf(), RUN)
        await w.env.clock.advance(5000)
      },
      async (_w, chains, taken, label) => {
        const [view] = (await chains.list(scope, { limit: 1 })).chains
        expect(view, label).toMatchObject({ status: 'completed' })
        const one = stepsOf(await chains.get(scope, view!['chain_id'] as string))['one']
        expect(one, label).toMatchObject({ output: { success: true, fallback: true, provider: 'q' } })
        expect(taken.effects.size, label).toBe(1)
      },
    )
    const deaths = await matrix
    expect(deaths).toBeGreaterThan(2)
    expect(attempts).toBeGreaterThan(deaths * 3)
  })

  it('a redrive: the letter and the failure are there, or the execution has gone on', async () => {
    const matrix = everyDeath(
      async () => {
        const taken = receiver()
        const p = scriptedProvider('p', [badRequest(), taken.accept()])
        return { taken, w: await world(nested, { p: { provider: p } }) }
      },
      async (w, chains, store) => {
        await start(w, chains, store, 'line', actionOf(), RUN)
        await w.env.clock.settle()
        const [letter] = await letters(w)
        if (letter)
          await chains.resumeFromDeadLetter(
            { scope, chainId: letter.origin.chain_id!, step: 'in', iteration: 0 },
            deleteDeadLetter(letter),
          )
      },
      async (w, chains, taken, label) => {
        const [parent] = (await chains.list(scope, { name: 'line', limit: 1 })).chains
        const [letter] = await letters(w)
        if (letter) expect(parent, label).toMatchObject({ status: 'failed' })
        else {
          expect(parent, label).toMatchObject({ status: 'completed' })
          expect(taken.effects.size, label).toBe(3)
        }
      },
    )
    expect(await matrix).toBeGreaterThan(5)
  })
})
