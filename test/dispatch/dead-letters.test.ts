import { describe, expect, it } from 'vitest'
import { ProviderError } from '../../src/core/errors.ts'
import type { JsonObject } from '../../src/core/json.ts'
import type { Outcome } from '../../src/core/outcome.ts'
import { type DeadLetter, reapDeadLetters } from '../../src/delivery/dead-letters.ts'
import { SCOPE, testHouse } from '../fakes/house.ts'
import { badRequest, OK, type Scripted, scriptedProvider, serverError, unavailable } from '../fakes/provider.ts'
import { crashing } from '../fakes/store.ts'
import { rule, rules } from './build.ts'

const once = rules(rule('once', 1, '{ type: deduplicate, ttl_seconds: 3600 }'))
const world = async (script: readonly Scripted[], more: Parameters<typeof testHouse>[0] = {}) => {
  const hook = scriptedProvider('hook', script)
  const other = scriptedProvider('other')
  const house = await testHouse({ providers: [hook, other], loops: false, ...more })
  const send = (id: string, more: object = {}, request = {}) =>
    house.dispatch({ action_type: 'a', provider: 'hook', id, payload: { from: id }, ...more }, request)
  return { hook, other, house, send }
}
const letterOf = (o: Outcome): string => ('dead_letter_id' in o ? (o.dead_letter_id ?? '') : '')
const by = { caller: 'me' }

describe('redrive', () => {
  it('sends the whole action again under a fresh token, closes the letter, and is recorded as what it is', async () => {
    const { house, hook, send } = await world([badRequest(), OK])
    const failed = await send('one', { metadata: { zone: 'z' } })
    const { outcome } = (await house.redrive.one(SCOPE, letterOf(failed), by)) as { outcome: Outcome }
    expect(outcome).toMatchObject({ outcome: 'executed', action_id: 'one', run_id: failed.run_id })
    expect(hook.sent[1]?.request).toEqual(hook.sent[0]?.request)
    expect(hook.sent[1]?.token).not.toBe(hook.sent[0]?.token)
    expect(await house.stored('dead_letter')).toEqual([])
    expect(await house.records()).toMatchObject([
      { kind: 'dispatch', outcome: 'failed' },
      {
        kind: 'redrive',
        outcome: 'executed',
        action_id: 'one',
        run_id: failed.run_id,
        caller: 'me',
        metadata: { zone: 'z' },
      },
    ])
  })

  it('PITFALLS 36: each redrive has a token of its own, and one that fails is a letter again', async () => {
    const { house, hook, send } = await world([badRequest(), badRequest(), badRequest(), OK])
    let letter = letterOf(await send('one'))
    for (let i = 0; i < 3; i++) {
      const { outcome } = (await house.redrive.one(SCOPE, letter, by)) as { outcome: Outcome }
      letter = letterOf(outcome)
    }
    expect(new Set(hook.sent.map((s) => s.token)).size).toBe(4)
    expect(await house.stored('dead_letter')).toEqual([])
  })

  it('is at_least_once after an unknown end, also where the provider deduplicates by token', async () => {
    const fifo = scriptedProvider('hook', [serverError(), OK], { dedupWindowMs: 300_000 })
    const { house, send } = await world([], { providers: [fifo] })
    const { outcome } = (await house.redrive.one(SCOPE, letterOf(await send('one')), by)) as { outcome: Outcome }
    expect(outcome).toMatchObject({ outcome: 'executed', guarantee: 'at_least_once' })
  })

  it('PITFALLS 79: 409 superseded when the dedup key was admitted under since, unless forced', async () => {
    const { house, hook, send } = await world([unavailable(), OK], { rules: once })
    const failed = await send('one', { dedup_key: 'k' })
    await send('two', { dedup_key: 'k' })
    await expect(house.redrive.one(SCOPE, letterOf(failed), by)).rejects.toMatchObject({
      status: 409,
      code: 'superseded',
      extra: { first_action_id: 'two' },
    })
    expect(hook.sent).toHaveLength(2)
    expect(await house.redrive.one(SCOPE, letterOf(failed), { ...by, force: true })).toMatchObject({
      outcome: { outcome: 'executed' },
    })
    expect(hook.sent).toHaveLength(3)
  })

  it('PITFALLS 79: … or the Idempotency-Key, which keeps its answer', async () => {
    const { house, hook, send } = await world([unavailable(), OK])
    const failed = await send('one', {}, { key: 'k' })
    const again = await send('one', {}, { key: 'k' })
    expect(again).toMatchObject({ outcome: 'executed' })
    await expect(house.redrive.one(SCOPE, letterOf(failed), by)).rejects.toMatchObject({ code: 'superseded' })
    await house.redrive.one(SCOPE, letterOf(failed), { ...by, force: true })
    expect(hook.sent).toHaveLength(3)
    expect(await send('one', {}, { key: 'k' })).toEqual(again)
  })

  it('PITFALLS 79: … also when the key is held beyond the letter’s own term; after that it goes', async () => {
    const rule300 = rules(rule('once', 1, '{ type: deduplicate, ttl_seconds: 300 }'))
    const { house, hook, send } = await world([badRequest(), OK], { rules: rule300 })
    const pass = (ms: number) => house.env.clock.advance(ms)
    const failed = letterOf(await send('one', { dedup_key: 'k' }))
    await pass(10_000)
    expect(await send('two', { dedup_key: 'k' })).toMatchObject({ outcome: 'executed' })
    for (const ms of [100_000, 195_000]) {
      await pass(ms)
      await expect(house.redrive.one(SCOPE, failed, by)).rejects.toMatchObject({ status: 409, code: 'superseded' })
    }
    expect(hook.sent).toHaveLength(2)
    await pass(6_000)
    expect(await house.redrive.one(SCOPE, failed, by)).toMatchObject({ outcome: { outcome: 'executed' } })
    // A term that is over is not begun anew.
    expect(await send('three', { dedup_key: 'k' })).toMatchObject({ outcome: 'executed' })
  })

  it('PITFALLS 79: … and the same with an Idempotency-Key, which a later request took for its own day', async () => {
    const { house, hook, send } = await world([unavailable(), OK])
    const failed = letterOf(await send('one', {}, { key: 'k' }))
    await house.env.clock.advance(23 * 3_600_000)
    const again = await send('one', {}, { key: 'k' })
    await house.env.clock.advance(2 * 3_600_000)
    await expect(house.redrive.one(SCOPE, failed, by)).rejects.toMatchObject({ status: 409, code: 'superseded' })
    await house.redrive.one(SCOPE, failed, { ...by, force: true })
    expect(hook.sent).toHaveLength(3)
    expect(await send('one', {}, { key: 'k' })).toEqual(again)
  })

  it('a key whose term is over is taken by another between the look and the commit: nothing is sent', async () => {
    const rule300 = rules(rule('once', 1, '{ type: deduplicate, ttl_seconds: 300 }'))
    let between: (() => Promise<unknown>) | undefined
    const { house, hook, send } = await world([badRequest(), OK], {
      rules: rule300,
      wrap: (s) => ({
        ...s,
        async get(keys) {
          const found = await s.get(keys)
          const act = keys[0]?.kind === 'dedup' ? between : undefined
          between = act ? undefined : between
          await act?.()
          return found
        },
      }),
    })
    const failed = letterOf(await send('one', { dedup_key: 'k' }))
    await house.env.clock.advance(301_000)
    between = () => send('two', { dedup_key: 'k' })
    await expect(house.redrive.one(SCOPE, failed, by)).rejects.toMatchObject({ status: 409 })
    expect(hook.sent).toHaveLength(2)
  })

  it('takes its keys again: what comes meanwhile or after is a duplicate', async () => {
    const { house, hook, send } = await world([unavailable(), OK], { rules: once })
    const failed = await send('one', { dedup_key: 'k' }, { key: 'i' })
    const { outcome } = (await house.redrive.one(SCOPE, letterOf(failed), by)) as { outcome: Outcome }
    expect(await send('two', { dedup_key: 'k' })).toMatchObject({ outcome: 'deduplicated', first_action_id: 'one' })
    expect(await send('one', { dedup_key: 'k' }, { key: 'i' })).toEqual(outcome)
    expect(hook.sent).toHaveLength(2)
  })

  it('of two at once one is refused: one sending', async () => {
    const { house, hook, send } = await world([badRequest(), OK])
    const letter = letterOf(await send('one'))
    const two = await Promise.allSettled([house.redrive.one(SCOPE, letter, by), house.redrive.one(SCOPE, letter, by)])
    expect(two.map((r) => r.status).sort()).toEqual(['fulfilled', 'rejected'])
    expect(two.find((r) => r.status === 'rejected')).toMatchObject({ reason: { status: 409, code: 'being_redriven' } })
    expect(hook.sent).toHaveLength(2)
  })

  it('in bulk: letters whose caller was told are left out unless asked for; the rest go, each on its own', async () => {
    const { house, hook, send } = await world([badRequest(), badRequest(), OK])
    await send('told')
    await send('untold', {}, { async: true })
    await house.gateway.idle()
    expect((await house.stored('dead_letter')).map((l) => (l as JsonObject)['told_caller'])).toEqual([true, false])
    const first = await house.redrive.many(SCOPE, { limit: 10 }, by)
    expect(first).toMatchObject({
      redriven: [{ outcome: { action_id: 'untold', outcome: 'executed' } }],
      skipped: [{ code: 'told_caller' }],
    })
    expect((await house.redrive.many(SCOPE, { limit: 10, provider: 'other', includeTold: true }, by)).redriven).toEqual(
      [],
    )
    expect(
      (await house.redrive.many(SCOPE, { limit: 10, code: 'http_400', includeTold: true }, by)).redriven,
    ).toHaveLength(1)
    expect(hook.sent).toHaveLength(4)
    expect(await house.stored('dead_letter')).toEqual([])
  })

  it('in bulk: one that fails again is still one whose caller was not told, and the next takes it', async () => {
    const { house, send } = await world([badRequest(), badRequest(), badRequest(), badRequest(), OK])
    await send('told')
    await house.redrive.many(SCOPE, { limit: 10, includeTold: true }, by)
    expect(await house.stored('dead_letter')).toMatchObject([{ told_caller: true }])
    await send('untold', {}, { async: true })
    await house.gateway.idle()
    await house.redrive.many(SCOPE, { limit: 10 }, by)
    const letters = (await house.stored('dead_letter')) as { told_caller: boolean; action: { id: string } }[]
    expect(letters.map((l) => [l.action.id, l.told_caller])).toEqual([
      ['told', true],
      ['untold', false],
    ])
    expect((await house.redrive.many(SCOPE, { limit: 10 }, by)).redriven).toMatchObject([
      { outcome: { action_id: 'untold', outcome: 'executed' } },
    ])
  })

  it('redrives that come to nothing are counted, and what it was first stays known', async () => {
    const { house, send } = await world([badRequest(), badRequest(), badRequest(), OK], { rules: once })
    await send('one')
    const [first] = (await house.stored('dead_letter')) as unknown as DeadLetter[]
    const all = { limit: 10, includeTold: true }
    await house.redrive.many(SCOPE, all, by)
    await house.redrive.many(SCOPE, all, by)
    const { id, created_at, code, message } = first!
    expect(await house.stored('dead_letter')).toMatchObject([{ redrives: 2, first: { id, created_at, code, message } }])
    expect((await house.redrive.many(SCOPE, all, by)).redriven).toMatchObject([{ outcome: { outcome: 'executed' } }])
  })

  it('a caller that takes a redriven run over is told of its end', async () => {
    const { house, send } = await world([badRequest(), serverError(), serverError()], { rules: once })
    await send('untold', { dedup_key: 'k' }, { async: true })
    await house.gateway.idle()
    await house.redrive.many(SCOPE, { limit: 10 }, by)
    expect(await house.stored('dead_letter')).toMatchObject([{ told_caller: false }])
    expect(await send('two', { dedup_key: 'k' })).toMatchObject({ outcome: 'failed', first_action_id: 'untold' })
    expect(await house.stored('dead_letter')).toMatchObject([{ told_caller: true }])
  })

  it('a node that dies while it redrives: another sends the same bytes under the same token', async () => {
    const hook = scriptedProvider('hook', [badRequest(), OK])
    const one = await testHouse({ providers: [hook], loops: false })
    const failed = await one.dispatch({ action_type: 'a', provider: 'hook', id: 'one' })
    const { env } = one
    // Its second write is the end.
    const two = await testHouse({
      providers: [hook],
      loops: false,
      env,
      memory: one.memory,
      wrap: (s) => crashing(s, 2, 'before'),
    })
    const died = expect(two.redrive.one(SCOPE, letterOf(failed), by)).rejects.toMatchObject({ name: 'StateUnknown' })
    await env.clock.advance(5_000)
    await died
    const three = await testHouse({ providers: [hook], env, memory: await one.memory.restart() })
    await env.clock.advance(33_000)
    expect(hook.sent).toHaveLength(3)
    expect(hook.sent[2]).toMatchObject({ token: hook.sent[1]?.token, request: hook.sent[1]?.request })
    expect((await three.records()).at(-1)).toMatchObject({ kind: 'redrive', outcome: 'executed' })
  })

  it('what cannot be sent as it is, is told as such and stays a letter', async () => {
    let is = 'fine'
    const picky = scriptedProvider('hook', [badRequest()], {
      render: () => {
        if (is !== 'fine') throw new ProviderError('invalid_payload', 'a text is expected')
        return {}
      },
    })
    const { house, send } = await world([], { providers: [picky] })
    const letter = letterOf(await send('one'))
    is = 'strict'
    await expect(house.redrive.one(SCOPE, letter, by)).rejects.toMatchObject({
      status: 409,
      code: 'invalid_payload',
      message: 'it cannot be sent as it is: a text is expected',
    })
    const skipped = [{ id: letter, code: 'invalid_payload' }]
    expect(await house.redrive.many(SCOPE, { limit: 9, includeTold: true }, by)).toEqual({ redriven: [], skipped })
    expect(await house.stored('dead_letter')).toMatchObject([{ id: letter, redrives: 0 }])
  })

  it('of a redrive and a delete at once, one is refused', async () => {
    const { house, hook, send } = await world([badRequest(), OK])
    const letter = letterOf(await send('one'))
    const two = await Promise.allSettled([
      house.redrive.one(SCOPE, letter, by),
      house.redrive.remove(SCOPE, letter, 'me'),
    ])
    expect(two.map((r) => r.status)).toContain('rejected')
    const sent = two[0]?.status === 'fulfilled'
    expect(hook.sent).toHaveLength(sent ? 2 : 1)
    expect((await house.records()).map((r) => r.outcome)).toEqual(['failed', sent ? 'executed' : 'discarded'])
  })

  it('an unknown letter is 404, one of another tenant too', async () => {
    const { house, send } = await world([badRequest()])
    const letter = letterOf(await send('one'))
    for (const act of [
      () => house.redrive.one(SCOPE, 'nothing', by),
      () => house.redrive.one(['default', 'other'], letter, by),
      () => house.redrive.remove(['default', 'other'], letter, 'me'),
    ])
      await expect(act()).rejects.toMatchObject({ status: 404 })
  })
})

describe('dead letters', () => {
  it('deleting one is audited', async () => {
    const { house, send } = await world([badRequest()])
    const letter = letterOf(await send('one'))
    await house.redrive.remove(SCOPE, letter, 'me')
    expect(await house.stored('dead_letter')).toEqual([])
    expect((await house.records()).at(-1)).toMatchObject({
      kind: 'hold',
      outcome: 'discarded',
      action_id: 'one',
      caller: 'me',
      details: { dead_letter_id: letter, code: 'http_400' },
    })
  })

  it('PITFALLS 35: they outlive the process, with the whole action', async () => {
    const { house, send } = await world([badRequest()])
    await send('one', { metadata: { a: 'b' } })
    const again = await testHouse({ env: house.env, memory: await house.memory.restart(), loops: false })
    expect(await again.stored('dead_letter')).toMatchObject([
      { action: { id: 'one', payload: { from: 'one' }, metadata: { a: 'b' } } },
    ])
  })

  it('forward_to sends each new one, redacted; one that cannot be forwarded is a letter, and goes no further', async () => {
    const toml = '[dead_letters]\nforward_to = "other"\n[audit.redact]\nfields = ["from"]\n'
    const { house, other, send } = await world([badRequest()], { toml, loops: true })
    await send('one')
    await house.env.clock.advance(3_000)
    expect(other.sent).toMatchObject([
      { request: { payload: { code: 'http_400', action: { id: 'one', payload: { from: '[REDACTED]' } } } } },
    ])
    other.add(badRequest())
    await send('two')
    await house.env.clock.advance(30_000)
    expect(other.sent).toHaveLength(2)
    expect(
      (await house.stored('dead_letter')).map((l) => (l as { action: { action_type: string } }).action.action_type),
    ).toEqual(['a', 'a', 'dead_letter'])
  })

  it('forward_to: what is forwarded counts against no quota', async () => {
    const toml = '[dead_letters]\nforward_to = "other"\n'
    const { house, other, send } = await world([badRequest()], { loops: true, toml })
    await house.quotas.put(SCOPE, 'q', { max_actions: 1, window: 'daily', overage_behavior: 'block' }, by)
    await send('one')
    await house.env.clock.advance(10_000)
    expect(other.sent).toHaveLength(1)
    expect(await house.quotas.usage(SCOPE, 'q')).toMatchObject({ used: 1 })
  })

  it('forward_to: a forwarded letter that always throws is given up once, not forwarded anew', async () => {
    const broken = scriptedProvider('other', [OK], {
      render: () => {
        throw new TypeError('a fault of ours')
      },
    })
    const hook = scriptedProvider('hook', [badRequest()])
    const house = await testHouse({
      providers: [hook, broken],
      toml: '[background]\nhold_max_attempts = 2\n[dead_letters]\nforward_to = "other"\n',
    })
    await house.dispatch({ action_type: 'a', provider: 'hook', id: 'one' })
    await house.env.clock.advance(120_000)
    expect(await house.stored('copy')).toEqual([])
    expect((await house.stored('dead_letter')).map((l) => (l as JsonObject)['code'])).toEqual([
      'http_400',
      'gateway_fault',
    ])
  })

  it('ttl_seconds: reaped when it is over, and the keys it held are free', async () => {
    const { house, hook, send } = await world([serverError(), OK], {
      rules: once,
      toml: '[dead_letters]\nttl_seconds = 60\n',
    })
    await send('one', { dedup_key: 'k' }, { key: 'i' })
    expect(await reapDeadLetters(house.state, { owner: 'me', limit: 10 })).toBe(0)
    await house.env.clock.advance(61_000)
    expect(await reapDeadLetters(house.state, { owner: 'me', limit: 10 })).toBe(1)
    expect(await send('one', { dedup_key: 'k' }, { key: 'i' })).toMatchObject({ outcome: 'executed' })
    expect(hook.sent).toHaveLength(2)
  })
})

describe('forward_to and chains', () => {
  it('a chain step’s dead letter is forwarded like any other', async () => {
    const hook = scriptedProvider('hook', [badRequest()])
    const drop = scriptedProvider('drop')
    const house = await testHouse({
      providers: [hook, drop],
      toml: '[dead_letters]\nforward_to = "drop"\n',
      chains:
        '[[chains.definitions]]\nname = "one"\n[[chains.definitions.steps]]\nname = "send"\nprovider = "hook"\naction_type = "x"\n',
      rules: 'rules:\n  - { name: start, action: { type: chain, chain: one } }\n',
    })
    await house.dispatch({ action_type: 'a', provider: 'hook', id: 'first' })
    await house.env.clock.advance(5000)
    expect(drop.sent).toHaveLength(1)
    expect(drop.sent[0]?.request).toMatchObject({
      payload: { code: 'http_400', origin: { kind: 'chain_step', step: 'send' } },
    })
  })
})
