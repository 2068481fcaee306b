import { describe, expect, it } from 'vitest'
import { kinds } from '../../src/core/hold.ts'
import type { Json } from '../../src/core/json.ts'
import { SCOPE } from '../fakes/house.ts'
import { type Receiver, refused, type ScriptedProvider, scriptedProvider, serverError } from '../fakes/provider.ts'
import { rule, rules } from './build.ts'
import { crashes, type End, through } from './matrix.ts'

const hook = (taken: Receiver): readonly ScriptedProvider[] => [scriptedProvider('hook', [taken.accept()])]
const A = { action_type: 'a', provider: 'hook', id: 'one', payload: { x: 1 } }

/** Held or accepted work whose caller was told so has its one effect; one whose caller was told nothing has at most one. */
const once =
  (tags: readonly string[]) =>
  ({ told, taken }: End): void => {
    const promised = told[0] !== undefined && tags.includes(told[0].outcome)
    if (promised) expect(taken.effects.size).toBe(1)
    else expect(taken.effects.size).toBeLessThanOrEqual(1)
  }

describe('PITFALLS 18, 61, 64, 65: a node dies at each of its writes', () => {
  it('plain dispatch: delivered or interrupted, once, and never under a second token', async () => {
    await crashes({
      providers: hook,
      effects: 1,
      play: (s) => s.say(A),
      async check({ told, two, taken }) {
        const records = await two.records()
        const letters = await two.stored(kinds.deadLetter)
        expect(taken.taken).toBeLessThanOrEqual(1)
        if (told[0]?.outcome === 'executed') expect(letters).toEqual([])
        if (records.length === 0) expect([taken.taken, letters]).toEqual([0, []])
        else if (letters.length > 0) {
          expect(records).toMatchObject([{ outcome: 'failed', details: { code: 'interrupted' } }])
          expect(letters).toMatchObject([{ code: 'interrupted', unknown: true, told_caller: true }])
        } else expect([records.map((r) => r.outcome), taken.taken]).toEqual([['executed'], 1])
      },
    })
  })

  it('to an endpoint that deduplicates: sent again under its token, inside its window', async () => {
    await crashes({
      providers: (taken) => [scriptedProvider('hook', [taken.accept()], { dedupWindowMs: 300_000 })],
      effects: 1,
      play: (s) => s.say(A),
      async check({ two, taken }) {
        const records = await two.records()
        expect(await two.stored(kinds.deadLetter)).toEqual([])
        expect(taken.effects.size).toBe(records.length)
        expect(records.every((r) => r.outcome === 'executed')).toBe(true)
      },
    })
  })

  it('with dedup and an Idempotency-Key: whoever repeats it finishes it, whatever was told', async () => {
    await crashes({
      rules: rules(rule('once', 1, '{ type: deduplicate, ttl_seconds: 86400 }')),
      providers: hook,
      effects: 1,
      play: (s) => s.say({ ...A, dedup_key: 'd' }, { key: 'k' }),
      async check({ two, taken }) {
        const again = await two.dispatch({ ...A, dedup_key: 'd' }, { key: 'k' })
        expect(again).toMatchObject({ outcome: 'executed' })
        expect(await two.dispatch({ ...A, dedup_key: 'd' }, { key: 'k' })).toEqual(again)
        expect(await two.dispatch({ ...A, id: 'two', dedup_key: 'd' })).toMatchObject({
          outcome: 'deduplicated',
          first_outcome: 'executed',
        })
        expect(taken.effects.size).toBe(1)
        expect(await two.stored(kinds.deadLetter)).toEqual([])
      },
    })
  })

  it('respond-async', async () => {
    await crashes({
      providers: hook,
      effects: 1,
      play: (s) => s.say(A, { async: true }),
      check: once(['accepted', 'executed']),
    })
  })

  it('respond-async against an outage: put back, then delivered', async () => {
    await crashes({
      providers: (taken) => [scriptedProvider('hook', [refused(), taken.accept()])],
      effects: 1,
      async play(s) {
        await s.say(A, { async: true })
        await s.pass(20_000)
      },
      check: once(['accepted']),
    })
  })

  it('scheduled under a key and released', async () => {
    await crashes({
      rules: rules(
        rule('later', 1, '{ type: schedule, delay_seconds: 5, key: "{{payload.x}}" }'),
        rule('mark', 2, '{ type: deduplicate, ttl_seconds: 60 }'),
      ),
      providers: hook,
      effects: 1,
      async play(s) {
        await s.say(A)
        await s.pass(6_000)
      },
      async check(end) {
        once(['scheduled'])(end)
        expect(await end.two.stored(kinds.scheduleKey)).toEqual([])
        const releases = (await end.two.records()).filter((r) => r.kind === 'release')
        expect(releases.map((r) => r.outcome)).toEqual(end.taken.effects.size === 1 ? ['executed'] : [])
      },
    })
  })

  it('grouped, sealed and flushed: each event in one flush', async () => {
    await crashes({
      rules: rules(rule('some', 1, '{ type: group, group_by: [payload.x], group_wait_seconds: 5 }')),
      providers: hook,
      effects: 1,
      async play(s) {
        await s.say({ ...A, id: 'one' })
        await s.say({ ...A, id: 'two' })
        await s.pass(6_000)
        await s.pass(1_000)
      },
      check({ told, taken }) {
        const events = [...taken.effects.values()].flatMap(
          (body) => (body as { payload: { events: { action_id: string }[] } }).payload.events,
        )
        const ids = events.map((e) => e.action_id)
        expect(new Set(ids).size).toBe(ids.length)
        for (const [i, id] of ['one', 'two'].entries()) if (told[i]) expect(ids).toContain(id)
      },
    })
  })

  it('a copy beside what is delivered', async () => {
    await crashes({
      rules: rules(rule('also', 1, '{ type: copy, target_provider: other }')),
      providers: (taken) => [scriptedProvider('hook', [taken.accept()]), scriptedProvider('other', [taken.accept()])],
      effects: 2,
      async play(s) {
        await s.say(A)
        await s.pass(1_000)
      },
      async check({ two, taken }) {
        const toOther = [...taken.effects.values()].filter((b) => (b as { to: Json }).to === 'other')
        const admitted = (await two.records()).some((r) => r.kind === 'dispatch')
        expect(toOther.length).toBe(admitted ? 1 : 0)
      },
    })
  })

  it('a chain started beside it, in the admitting commit', async () => {
    await crashes({
      rules: rules(rule('also', 1, '{ type: chain, chain: c, then: continue }')),
      toml: '[chains]\ndefault_timeout_seconds = 86400\n[[chains.definitions]]\nname = "c"\n[[chains.definitions.steps]]\nname = "s"\nprovider = "hook"\naction_type = "step"\n',
      providers: hook,
      effects: 2,
      play: async (s) => {
        await s.say(A)
        await s.house.env.clock.settle()
      },
      async check({ two, taken }) {
        for (let i = 0; i < 4; i++) {
          await two.env.clock.advance(31_000)
          await two.handlers.pullChains()
          await two.env.clock.settle()
        }
        const steps = (await two.records()).filter((r) => r.kind === 'chain_step')
        const admitted = (await two.records()).some((r) => r.kind === 'dispatch')
        expect(steps.map((r) => r.outcome)).toEqual(admitted ? ['step_completed'] : [])
        expect(taken.effects.size).toBeLessThanOrEqual(2)
      },
    })
  })

  it('a fallback after the breaker opened: its own body, stored before its first byte', async () => {
    await crashes({
      toml: '[circuit_breaker]\nfailure_threshold = 1\n[circuit_breaker.providers.hook]\nfallback_provider = "spare"\n',
      providers: (taken) => [
        scriptedProvider('hook', [refused()]),
        scriptedProvider('spare', [taken.accept()], {
          render: (a, token) => ({ to: 'spare', token, payload: a.payload }),
        }),
      ],
      effects: 1,
      play: (s) => s.say(A, { async: true }),
      check: once(['accepted']),
    })
  })

  it('a redrive', async () => {
    await crashes({
      rules: rules(rule('once', 1, '{ type: deduplicate, ttl_seconds: 86400 }')),
      providers: (taken) => [scriptedProvider('hook', [serverError(), taken.accept()])],
      effects: 1,
      async play(s) {
        await s.say(A, { key: 'k' })
        const [letter] = (await s.house.memory.state.list(kinds.deadLetter, SCOPE, { limit: 1 })).entries
        if (letter)
          await through(
            s.house.env,
            async () => void (await s.house.redrive.one(SCOPE, letter.key.id, { caller: 'me' })),
          )
      },
      async check({ two, taken }) {
        expect(taken.effects.size).toBeLessThanOrEqual(1)
        const before = taken.taken
        const again = await two.dispatch(A, { key: 'k' })
        expect(again.outcome === 'executed' || before === 0).toBe(true)
        expect(taken.effects.size).toBeLessThanOrEqual(1)
      },
    })
  })
})
