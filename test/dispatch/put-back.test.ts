import { describe, expect, it } from 'vitest'
import { StateUnavailable, StateUnknown } from '../../src/core/errors.ts'
import type { JsonObject } from '../../src/core/json.ts'
import { type House, SCOPE, testHouse } from '../fakes/house.ts'
import { OK, refused, scriptedProvider, unavailable } from '../fakes/provider.ts'
import { rule, type } from './build.ts'
import { ends, later, world } from './hold-world.ts'

describe('PITFALLS 66: what was accepted is never dropped by a limit', () => {
  it('throttled at release: put back with a second or more and jitter, released when it may', async () => {
    const { house, hook, send, pass } = await world([
      later,
      rule('slow', 3, '{ type: throttle, max_count: 1, window_seconds: 30 }'),
    ])
    for (const id of ['one', 'two', 'three']) await send(id)
    await pass(11_000)
    expect(hook.sent).toHaveLength(1)
    const waiting = (await house.memory.state.list('scheduled', SCOPE, { limit: 9 })).entries
    const waits = waiting.map((e) => e.dueAt! - house.env.clock.now())
    expect(waits.every((w) => w > 20_000)).toBe(true)
    expect(new Set(waits).size).toBe(2)
    expect(waiting.map((e) => (JSON.parse(e.value) as JsonObject)['lastRefusal'])).toEqual(['throttled', 'throttled'])
    await pass(120_000)
    expect(hook.sent).toHaveLength(3)
    expect(await ends(house)).toHaveLength(6)
  })

  it('an open circuit and a retryable failure put it back', async () => {
    const { house, hook, send, pass } = await world([later], [refused(), OK])
    await send('one')
    await pass(9_000)
    const error = { code: 'connection_refused', message: 'refused' }
    await pass(1_500)
    expect(await house.stored('intent')).toMatchObject([{ lastRefusal: { why: 'failed', error } }])
    await house.breakers.trip('hook', { by: 'me' })
    await pass(5_000)
    expect(await house.stored('intent')).toMatchObject([{ lastRefusal: { why: 'circuit_open', error } }])
    expect(await house.stored('dead_letter')).toEqual([])
    await house.breakers.reset('hook', { by: 'me' })
    await pass(150_000)
    expect(hook.sent).toHaveLength(2)
    expect((await ends(house)).at(-1)).toEqual(['release', 'one', 'executed'])
  })

  it('what was refused each time, and put back in order, has not arrived: its letter and its dedup key say so', async () => {
    const { house, hook, send, pass } = await world(
      [later, rule('once', 3, '{ type: deduplicate, ttl_seconds: 86400, key: [action.tenant] }')],
      [unavailable(), unavailable(), OK],
      { toml: '[background]\nhold_max_attempts = 2\n' },
    )
    await send('one')
    await pass(120_000)
    expect(hook.sent).toHaveLength(2)
    expect(await house.stored('dead_letter')).toMatchObject([{ code: 'http_503', unknown: false }])
    await send('two')
    await pass(12_000)
    expect((await ends(house)).at(-1)).toEqual(['release', 'two', 'executed'])
    expect(hook.sent[2]?.token).not.toBe(hook.sent[0]?.token)
  })

  it('a quota at release of an occurrence', async () => {
    const { house, hook, pass } = await world([])
    await house.quotas.put(SCOPE, 'q', { max_actions: 1, window: 240, overage_behavior: 'block' }, { caller: 'me' })
    await house.recurrings.put(
      SCOPE,
      'tick',
      { provider: 'hook', action_type: 'a', cron_expression: '* * * * *', max_executions: 2 },
      { caller: 'me' },
    )
    await pass(122_000)
    const [first] = await house.stored('occurrence')
    expect([hook.sent.length, first]).toMatchObject([1, { lastRefusal: 'quota_exceeded' }])
    await pass(260_000)
    expect(hook.sent).toHaveLength(2)
  })

  it('… until it has been tried hold_max_attempts times, or is too old: then it is a dead letter, audited', async () => {
    for (const limit of ['hold_max_attempts = 2', 'hold_max_age_seconds = 30']) {
      const { house, hook, send, pass } = await world(
        [later, rule('slow', 3, '{ type: throttle, max_count: 1, window_seconds: 86400 }')],
        [OK],
        { toml: `[background]\n${limit}\n` },
      )
      await send('one')
      await send('two')
      await pass(45_000)
      for (let i = 0; i < 4; i++) {
        const [entry] = (await house.memory.state.list('scheduled', SCOPE, { limit: 1 })).entries
        if (entry) await house.handlers.release((await taken(house, entry.dueAt!))!, new AbortController().signal)
      }
      expect(hook.sent).toHaveLength(1)
      expect(await house.stored('scheduled')).toEqual([])
      const letters = await house.stored('dead_letter')
      expect(letters).toMatchObject([{ code: 'throttled', told_caller: false, unknown: false, attempts: 0 }])
      expect((await house.records()).at(-1)).toMatchObject({
        kind: 'release',
        action_id: 'two',
        outcome: 'failed',
        rule: 'slow',
        rules_version: house.rules.current().version,
        details: { code: 'throttled', dead_letter_id: (letters[0] as JsonObject)['id'] },
      })
    }
  })

  it('whatever the other side says of when to come back, age ends it in its time', async () => {
    for (const script of [unavailable(9e15), unavailable(365 * 86_400_000), OK]) {
      const limits =
        script === OK ? [rule('slow', 3, '{ type: throttle, max_count: 1, window_seconds: 31536000 }')] : []
      const { house, send, pass } = await world([later, ...limits], [script], {
        toml: '[background]\nhold_max_age_seconds = 120\n',
      })
      if (script === OK) await send('first')
      await send('one')
      await pass(129_000)
      expect(await house.stored('dead_letter')).toEqual([])
      await pass(3_000)
      expect(await house.stored('dead_letter')).toMatchObject([{ action: { id: 'one' }, told_caller: false }])
      expect([await house.stored('intent'), await house.stored('scheduled')]).toEqual([[], []])
    }
  })

  /** Claims the one scheduled hold at its due time, without a day of ticking loops in between. */
  async function taken(house: House, dueAt: number) {
    const { state } = house.memory
    await state.commit(SCOPE, [
      { op: 'wake', kind: 'scheduled', id: (await state.list('scheduled', SCOPE, { limit: 1 })).entries[0]!.key.id },
    ])
    expect(dueAt).toBeGreaterThan(house.env.clock.now())
    return (await state.claim('scheduled', { owner: 'me', leaseMs: 30_000, limit: 1 }))[0]
  }
})

describe('configuration that lacks what held work needs', () => {
  it('a chain that is switched off is waited for, uncounted', async () => {
    const { house, send, pass } = await world(
      [later, rule('go', 3, '{ type: chain, chain: c }', type('chain'))],
      [OK],
      {
        chains:
          '[[chains.definitions]]\nname = "c"\n[[chains.definitions.steps]]\nname = "s"\nprovider = "other"\naction_type = "x"\n',
      },
    )
    await send('one', { action_type: 'chain' })
    await house.chains.setEnabled('c', false, { by: 'ann' })
    await pass(100_000)
    const [waiting] = (await house.state.list('scheduled', SCOPE, { limit: 9 })).entries
    expect(waiting?.attempts).toBe(0)
    expect((await house.chains.list(SCOPE, { limit: 9 })).chains).toEqual([])
    await house.chains.setEnabled('c', true, { by: 'ann' })
    await pass(40_000)
    expect(await house.stored('scheduled')).toEqual([])
    expect((await house.chains.list(SCOPE, { limit: 9 })).chains).toMatchObject([{ status: 'completed' }])
  })

  it('a node without the provider or chain hands it back, uncounted, and another node does it', async () => {
    const { house, send, pass } = await world(
      [later, rule('go', 3, '{ type: chain, chain: c }', type('chain'))],
      [OK],
      {
        chains:
          '[[chains.definitions]]\nname = "c"\n[[chains.definitions.steps]]\nname = "s"\nprovider = "other"\naction_type = "x"\n',
      },
    )
    await send('one')
    await send('two', { action_type: 'chain' })
    await house.stop()
    const third = scriptedProvider('third')
    const poor = await testHouse({
      providers: [third],
      env: house.env,
      memory: await house.memory.restart(),
      loops: false,
    })
    await pass(11_000)
    // Whatever the rules of this node say: its holds' own provider, or a chain that is nowhere.
    for (let i = 0; i < 3; i++) {
      for (const entry of await poor.state.claim('scheduled', { owner: poor.node, leaseMs: 30_000, limit: 5 }))
        await poor.handlers.release(entry, new AbortController().signal)
      await pass(31_000)
    }
    const waiting = (await poor.state.list('scheduled', SCOPE, { limit: 9 })).entries
    expect(waiting.map((e) => e.attempts)).toEqual([0, 0])
    expect(third.sent).toEqual([])
    const hook = scriptedProvider('hook')
    const rich = await testHouse({
      providers: [hook, scriptedProvider('other')],
      env: house.env,
      memory: await poor.memory.restart(),
    })
    await pass(40_000)
    expect(hook.sent).toHaveLength(2)
    expect(await rich.stored('scheduled')).toEqual([])
  })
})

describe('PITFALLS 28: what always throws', () => {
  it('is counted before it is tried, put back with growing waits, and in the end a dead letter; the rest go on', async () => {
    const poison = scriptedProvider('poison', [OK], {
      render: () => {
        throw new TypeError('a fault of ours')
      },
    })
    const { house, hook, send, pass } = await world([later], [OK], {
      providers: [poison, scriptedProvider('other')],
      toml: '[background]\nhold_max_attempts = 3\n',
    })
    expect(hook.sent).toEqual([])
    const lineage = { origin: 'first', passed: ['rule:before'], hops: 1 } as const
    await house.dispatch({ action_type: 'a', provider: 'poison', id: 'bad', payload: { k: 1 } }, { lineage })
    await send('good', { provider: 'other' })
    await pass(60_000)
    expect(await house.stored('scheduled')).toEqual([])
    const passed = ['rule:before', 'rule:later']
    expect(await house.stored('dead_letter')).toMatchObject([
      // PITFALLS 60: redriven, it has not forgotten where it has been.
      { code: 'gateway_fault', action: { id: 'bad' }, lineage: { ...lineage, passed } },
    ])
    expect((await ends(house)).filter(([k]) => k === 'release')).toEqual([
      ['release', 'bad', 'failed'],
      ['release', 'good', 'executed'],
    ])
    expect(house.observed.map((o) => [o.about.kind, o.outcome.action_id, o.outcome.outcome]).slice(2)).toEqual([
      ['release', 'good', 'executed'],
      ['release', 'bad', 'failed'],
    ])
  })

  it('leaves nothing under its schedule key', async () => {
    const poison = scriptedProvider('hook', [OK], {
      render: () => {
        throw new TypeError('a fault of ours')
      },
    })
    const keyed = rule('later', 2, '{ type: schedule, delay_seconds: 10, key: "{{payload.k}}" }')
    const { house, send, pass } = await world([keyed], [OK], {
      providers: [poison],
      toml: '[background]\nhold_max_attempts = 3\n',
    })
    await send('bad')
    expect(await house.stored('schedule_key')).toHaveLength(1)
    await pass(60_000)
    expect(await house.stored('dead_letter')).toMatchObject([{ code: 'gateway_fault' }])
    expect(await house.stored('schedule_key')).toEqual([])
  })

  it('a delivery that was accepted, too: a dead letter that may have arrived, and its keys stay with it', async () => {
    const hook = scriptedProvider('hook', [refused(), OK])
    let broken = true
    const poison: typeof hook = {
      ...hook,
      dedupWindowMs() {
        if (broken) throw new TypeError('a fault of ours')
        return 0
      },
    }
    const { house, send, pass } = await world([rule('once', 1, '{ type: deduplicate, ttl_seconds: 600 }')], [OK], {
      providers: [poison, scriptedProvider('other')],
      toml: '[background]\nhold_max_attempts = 4\n',
    })
    const parts = { dedup_key: 'k', payload: { k: 7 } }
    await house.dispatch({ action_type: 'a', provider: 'hook', id: 'bad', ...parts }, { async: true, key: 'mine' })
    await pass(120_000)
    expect(await house.stored('intent')).toEqual([])
    expect(await house.stored('dead_letter')).toMatchObject([
      {
        code: 'gateway_fault',
        unknown: true,
        told_caller: false,
        provider: 'hook',
        action: { id: 'bad', payload: { k: 7 } },
      },
    ])
    const [letter] = await house.stored('dead_letter')
    expect(await house.records()).toMatchObject([
      {
        kind: 'dispatch',
        action_id: 'bad',
        outcome: 'failed',
        details: { code: 'gateway_fault', unknown: true, dead_letter_id: (letter as JsonObject)['id'] },
      },
    ])
    expect(house.observed.map((o) => [o.about.kind, o.about.provider, o.outcome.outcome])).toEqual([
      ['dispatch', 'hook', 'failed'],
    ])
    // Whoever comes next under its key goes on with it.
    broken = false
    expect(await send('next', { dedup_key: 'k' })).toMatchObject({ outcome: 'executed', first_action_id: 'bad' })
    expect(new Set(hook.sent.map((s) => s.token)).size).toBe(1)
    expect(hook.sent.at(-1)?.request).toMatchObject({ action_id: 'bad', payload: { k: 7 } })
    expect(await house.stored('dead_letter')).toEqual([])
  })
})

describe('a store that is away while held work is released', () => {
  it.each([
    ['refuses', new StateUnavailable('away')],
    ['does not answer', new StateUnknown('no answer')],
  ])('is no fault of the hold’s: it comes again, however few attempts it has: %s', async (_, error) => {
    let away = 1
    const { house, hook, send, pass } = await world([later], [OK], {
      toml: '[background]\nhold_max_attempts = 1\n',
      wrap: (base) => ({
        ...base,
        async commit(scope, ops, opts) {
          const releases = ops.some((o) => o.op === 'delete' && o.kind === 'scheduled')
          if (releases && away-- > 0) throw error
          return base.commit(scope, ops, opts)
        },
      }),
    })
    await send('one')
    await pass(12_000)
    expect([hook.sent.length, await house.stored('dead_letter')]).toEqual([0, []])
    await pass(31_000)
    expect(hook.sent).toHaveLength(1)
    expect((await ends(house)).at(-1)).toEqual(['release', 'one', 'executed'])
    expect(await house.stored('dead_letter')).toEqual([])
  })
})

describe('a claim that was lost', () => {
  it('PITFALLS 65: its old owner admits nothing, sends nothing, puts nothing back; the new one does it once', async () => {
    const { house, hook, send, pass } = await world(
      [later, rule('slow', 3, '{ type: throttle, max_count: 1, window_seconds: 60 }', type('t'))],
      [OK],
      { loops: false },
    )
    await send('warm', { action_type: 't' })
    await send('plain')
    await pass(11_000)
    const { state, handlers } = house
    const signal = new AbortController().signal
    const old = await state.claim('scheduled', { owner: 'old', leaseMs: 1_000, limit: 9 })
    expect(old).toHaveLength(2)
    await pass(2_000)
    const now = await state.claim('scheduled', { owner: 'now', leaseMs: 30_000, limit: 9 })
    for (const entry of old) await handlers.release(entry, signal)
    expect(hook.sent).toEqual([])
    expect((await state.list('scheduled', SCOPE, { limit: 9 })).entries.map((e) => e.claim?.owner)).toEqual([
      'now',
      'now',
    ])
    for (const entry of now) await handlers.release(entry, signal)
    for (const entry of old) await handlers.release(entry, signal)
    expect(hook.sent).toHaveLength(2)
    expect(await house.stored('scheduled')).toEqual([])
    expect((await ends(house)).filter(([kind]) => kind === 'release')).toHaveLength(2)
  })
})
