import { describe, expect, it } from 'vitest'
import { kinds } from '../../src/core/hold.ts'
import type { DeadLetter } from '../../src/delivery/dead-letters.ts'
import { type House, SCOPE, testHouse } from '../fakes/house.ts'
import {
  badRequest,
  held,
  OK,
  receiver,
  type Scripted,
  scriptedProvider,
  serverError,
  unavailable,
} from '../fakes/provider.ts'
import { replyLost } from '../fakes/store.ts'
import { rule, rules, type } from './build.ts'
import { crashes } from './matrix.ts'

const later = rule('later', 1, '{ type: schedule, delay_seconds: 10 }', type('later'))
const once = rule('once', 2, '{ type: deduplicate, ttl_seconds: 86400 }')
const action = (id: string, action_type = 'later') => ({
  action_type,
  provider: 'hook',
  id,
  dedup_key: 'k',
  payload: { from: id },
})
const world = async (script: readonly Scripted[], more: Parameters<typeof testHouse>[0] = {}) => {
  const hook = scriptedProvider('hook', script)
  const house = await testHouse({ providers: [hook], rules: rules(later, once), ...more })
  const ids = () => hook.sent.map((s) => (s.request as { action_id: string }).action_id)
  return { hook, house, ids, hold: (id: string) => house.dispatch(action(id)), pass: house.env.clock.advance }
}
const ended = async (house: House) =>
  (await house.records()).filter((r) => r.outcome !== 'scheduled').map((r) => [r.kind, r.action_id, r.outcome])
const left = async (house: House) =>
  (await Promise.all([kinds.scheduled, kinds.intent, kinds.deadLetter].map((kind) => house.stored(kind)))).flat()

describe('a hold whose key an earlier run has that ended unknown', () => {
  it('goes on with that run: its bytes, its token; its dead letter closes, and the record is of the hold', async () => {
    const taken = receiver()
    const { house, hook, hold, pass } = await world([taken.accept(serverError()), taken.accept()])
    expect(await house.dispatch(action('one', 'a'))).toMatchObject({ outcome: 'failed', unknown: true })
    await hold('two')
    await pass(12_000)
    expect([taken.effects.size, hook.sent.length, await left(house)]).toEqual([1, 2, []])
    expect(await ended(house)).toEqual([
      ['dispatch', 'one', 'failed'],
      ['release', 'two', 'executed'],
    ])
    expect((await house.records()).at(-1)?.details).toMatchObject({ first_action_id: 'one' })
    expect(await house.dispatch(action('three', 'a'))).toMatchObject({
      outcome: 'deduplicated',
      first_action_id: 'one',
    })
  })

  it('of several one does, and the others are its duplicates', async () => {
    const taken = receiver()
    const { house, hold, pass } = await world([taken.accept(serverError()), taken.accept()])
    await house.dispatch(action('one', 'a'))
    for (const id of ['two', 'three', 'four']) await hold(id)
    await pass(30_000)
    expect([taken.effects.size, taken.taken, await left(house)]).toEqual([1, 2, []])
    expect((await ended(house)).map(([, , outcome]) => outcome).sort()).toEqual([
      'deduplicated',
      'deduplicated',
      'executed',
      'failed',
    ])
  })

  it('… and puts it back like its own, until the hold is too old', async () => {
    const { house, hold, pass } = await world([serverError(), unavailable()], {
      toml: '[background]\nhold_max_age_seconds = 60\n[circuit_breaker]\nenabled = false\n',
    })
    await house.dispatch(action('one', 'a'))
    await hold('two')
    await pass(68_000)
    expect(await house.stored('intent')).toHaveLength(1)
    await pass(4_000)
    expect(await left(house)).toMatchObject([{ action: { id: 'one' }, unknown: true, told_caller: false }])
    expect((await ended(house)).at(-1)).toEqual(['release', 'two', 'failed'])
  })

  it('… and says so of the dead letter, also where a circuit breaker has the last word', async () => {
    const { house, hold, pass } = await world([serverError(), unavailable()], {
      toml: '[background]\nhold_max_age_seconds = 60\n',
    })
    await house.dispatch(action('one', 'a'))
    await hold('two')
    await pass(72_000)
    expect(await left(house)).toMatchObject([{ code: 'circuit_open', unknown: true }])
    expect(await house.stored(kinds.deadLetter)).toHaveLength(1)
  })

  it('a letter deleted by hand holds the key no more', async () => {
    const { house, ids, hold, pass } = await world([serverError(), OK])
    const one = await house.dispatch(action('one', 'a'))
    await hold('two')
    await house.redrive.remove(SCOPE, 'dead_letter_id' in one ? one.dead_letter_id! : '', 'me')
    await pass(12_000)
    expect([ids(), await left(house)]).toEqual([['one', 'two'], []])
  })

  it('an answer of the store is lost, whichever: one effect, and nothing is left', async () => {
    for (let lost = 1; lost < 30; lost++) {
      const taken = receiver()
      let writes = 0
      const { house, hold, pass } = await world([taken.accept(serverError()), taken.accept()], {
        wrap: (s) => replyLost(s, () => ++writes === lost),
      })
      const one = house.dispatch(action('one', 'a')).catch(() => undefined)
      await pass(1_000)
      await one
      await hold('two').catch(() => undefined)
      await pass(60_000)
      expect([taken.effects.size, await house.stored('scheduled'), await house.stored('intent')], `${lost}`).toEqual([
        1,
        [],
        [],
      ])
    }
  })

  it('PITFALLS 18, 61: a node dies at each of its writes: one effect all the same', async () => {
    await crashes({
      rules: rules(later, once),
      providers: (taken) => [scriptedProvider('hook', [taken.accept(serverError()), taken.accept()])],
      effects: 1,
      async play(s) {
        await s.say(action('one', 'a'))
        await s.say(action('two'))
        await s.pass(12_000)
      },
      check({ taken }) {
        expect(taken.effects.size).toBeLessThanOrEqual(1)
      },
    })
  })
})

describe('a hold whose key an earlier run has that is under way', () => {
  it('comes again: delivered once the first has failed for certain', async () => {
    const slow = held()
    const { house, ids, hold, pass } = await world([slow.answer, OK])
    await hold('one')
    await hold('two')
    await pass(12_000)
    expect(ids()).toEqual(['one'])
    expect(await house.stored('scheduled')).toMatchObject([{ action: { id: 'two' }, lastRefusal: 'deduplicated' }])
    slow.finish(badRequest())
    await pass(10_000)
    expect(ids()).toEqual(['one', 'two'])
    expect(await left(house)).toMatchObject([{ action: { id: 'one' }, code: 'http_400' }])
    expect((await ended(house)).at(-1)).toEqual(['release', 'two', 'executed'])
  })

  it('… its duplicate, once the first was delivered', async () => {
    const slow = held()
    const { house, ids, hold, pass } = await world([slow.answer])
    await hold('one')
    await hold('two')
    await pass(12_000)
    slow.finish(OK)
    await pass(10_000)
    expect([ids(), await left(house)]).toEqual([['one'], []])
    expect((await ended(house)).at(-1)).toEqual(['release', 'two', 'deduplicated'])
  })

  it('… looks when the first comes again, not all the time, and uses no attempt up', async () => {
    const { house, ids, hold, pass } = await world([unavailable(300_000), OK], {
      toml: '[background]\nhold_max_attempts = 3\n',
    })
    await house.dispatch(action('one', 'a'), { async: true })
    await hold('two')
    await pass(12_000)
    const [first] = (await house.state.list('intent', SCOPE, { limit: 1 })).entries
    const [second] = (await house.state.list('scheduled', SCOPE, { limit: 1 })).entries
    expect(second?.dueAt).toBeGreaterThanOrEqual(first!.dueAt!)
    expect(second?.attempts).toBe(0)
    await pass(400_000)
    expect([ids(), await left(house)]).toEqual([['one', 'one'], []])
    expect((await ended(house)).at(-1)).toEqual(['release', 'two', 'deduplicated'])
  })

  it('… and is a dead letter when it is too old before that; its redrive is superseded by the first', async () => {
    const slow = held()
    const { house, ids, hold, pass } = await world([slow.answer, OK], {
      toml: '[background]\nhold_max_age_seconds = 5\n',
    })
    await hold('one')
    await hold('two')
    await pass(18_000)
    const [letter] = (await house.stored('dead_letter')) as unknown as DeadLetter[]
    expect(letter).toMatchObject({ code: 'deduplicated', provider: 'hook', action: { id: 'two' }, told_caller: false })
    slow.finish(OK)
    await pass(1_000)
    await expect(house.redrive.one(SCOPE, letter!.id, { caller: 'me' })).rejects.toMatchObject({ code: 'superseded' })
    expect(ids()).toEqual(['one'])
    await house.redrive.one(SCOPE, letter!.id, { caller: 'me', force: true })
    expect(ids()).toEqual(['one', 'two'])
  })
})
