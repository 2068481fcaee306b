import { describe, expect, it } from 'vitest'
import { canonicalJson, type JsonObject } from '../../src/core/json.ts'
import { receiver, scriptedProvider } from '../fakes/provider.ts'
import { type Crash, crashing, replyLost } from '../fakes/store.ts'
import { actionOf, audit, guide, guideProviders, reading, scope, start, world } from './set-up.ts'

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
