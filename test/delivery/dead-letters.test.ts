import { describe, expect, test } from 'vitest'
import type { Scope } from '../../src/core/action.ts'
import { deliveryToken } from '../../src/core/ids.ts'
import { compileRedact } from '../../src/core/redact.ts'
import type { StateStore } from '../../src/core/state.ts'
import {
  countDeadLetters,
  type DeadLetter,
  deadLettersOf,
  deadLetterView,
  deleteDeadLetter,
  getDeadLetter,
  letterScope,
  listDeadLetters,
  putDeadLetter,
  reapDeadLetters,
  redriven,
} from '../../src/delivery/dead-letters.ts'
import { testEnv } from '../fakes/env.ts'
import { memoryState } from '../fakes/store.ts'

async function setUp() {
  const env = testEnv()
  const memory = await memoryState(env)
  const letter = (over: Partial<DeadLetter> = {}): DeadLetter => ({
    id: env.newId(),
    created_at: new Date(env.clock.now()).toISOString(),
    action: {
      id: 'a1',
      namespace: 'n',
      tenant: 't',
      action_type: 'x',
      payload: { secret: 's3', deep: { secret: 1, kept: 2 } },
      metadata: {},
      created_at: '2026-01-05T12:00:00.000Z',
    },
    provider: 'p',
    run_id: 'run-1',
    token: deliveryToken('run-1'),
    request: { body: 's3' },
    code: 'http_503',
    message: 'unavailable',
    unknown: false,
    attempts: 4,
    told_caller: true,
    origin: { kind: 'dispatch' },
    redrives: 0,
    ...over,
  })
  const put = async (l: DeadLetter, ttlMs?: number) => {
    await env.clock.advance(1)
    return (await memory.state.commit(letterScope(l), putDeadLetter(l, ttlMs))).ok
  }
  return { env, clock: env.clock, memory, state: memory.state, letter, put }
}
const scope: Scope = ['n', 't']

test('PITFALLS 35: a letter is a durable row with the whole action and the stored bytes, after a restart too', async () => {
  const s = await setUp()
  const l = s.letter({ dedup: [{ id: 'k', ttl_ms: 5, expires_at: 'later' }], idempotency: 'i' })
  await s.put(l)
  const after = (await s.memory.restart()).state
  expect(await getDeadLetter(after, scope, l.id)).toEqual(l)
  expect(await getDeadLetter(after, ['n', 'other'], l.id)).toBeUndefined()
  expect(await getDeadLetter(after, scope, 'nothing')).toBeUndefined()
})

test('written twice is once', async () => {
  const s = await setUp()
  const l = s.letter()
  expect([await s.put(l), await s.put(l)]).toEqual([true, true])
  expect(await countDeadLetters(s.state)).toBe(1)
})

describe('lists', () => {
  const ids = async (state: StateStore, page: Parameters<typeof listDeadLetters>[2]) =>
    (await listDeadLetters(state, scope, page)).letters.map((l) => l.message)
  test('newest first, page by page, by provider, by code, by both', async () => {
    const s = await setUp()
    for (const [i, [provider, code]] of [
      ['p', 'x'],
      ['q', 'x'],
      ['p', 'y'],
      ['p', 'x'],
      ['a:b', 'x'],
    ].entries())
      await s.put(s.letter({ provider: provider!, code: code!, message: String(i) }))
    await s.put(s.letter({ action: { ...s.letter().action, tenant: 'other' } }))
    const first = await listDeadLetters(s.state, scope, { limit: 2 })
    expect(first.letters.map((l) => l.message)).toEqual(['4', '3'])
    expect(await ids(s.state, { limit: 9, after: first.next! })).toEqual(['2', '1', '0'])
    expect(await ids(s.state, { limit: 9, provider: 'p' })).toEqual(['3', '2', '0'])
    expect(await ids(s.state, { limit: 9, code: 'x' })).toEqual(['4', '3', '1', '0'])
    expect(await ids(s.state, { limit: 9, provider: 'p', code: 'x' })).toEqual(['3', '0'])
    expect(await ids(s.state, { limit: 9, provider: 'a', code: 'b' })).toEqual([])
  })
  test('the letters of one action', async () => {
    const s = await setUp()
    await s.put(s.letter({ message: 'mine' }))
    await s.put(s.letter({ action: { ...s.letter().action, id: 'a2' } }))
    expect((await deadLettersOf(s.state, scope, 'a1')).map((l) => l.message)).toEqual(['mine'])
  })
})

test('the count is over all scopes, and stays true through delete, expiry and restart', async () => {
  const s = await setUp()
  expect(await countDeadLetters(s.state)).toBe(0)
  const l = s.letter()
  await s.put(l)
  await s.put(s.letter({ action: { ...l.action, tenant: 'other' } }), 60_000)
  expect(await countDeadLetters(s.state)).toBe(2)
  await s.state.commit(scope, deleteDeadLetter(l))
  expect(await countDeadLetters(s.state)).toBe(1)
  await s.clock.advance(60_000)
  expect(await reapDeadLetters(s.state, { owner: 'me', limit: 10 })).toBe(1)
  expect(await countDeadLetters((await s.memory.restart()).state)).toBe(0)
})

test('large letters are reaped as many at a time as small ones', async () => {
  const s = await setUp()
  const payload = { text: 'x'.repeat(1_500_000) }
  for (let i = 0; i < 8; i++) await s.put(s.letter({ action: { ...s.letter().action, payload } }), 1000)
  await s.clock.advance(1000)
  expect(await reapDeadLetters(s.state, { owner: 'me', limit: 7 })).toBe(7)
  expect(await countDeadLetters(s.state)).toBe(1)
})

test('without a ttl a letter is kept: it is never due', async () => {
  const s = await setUp()
  await s.put(s.letter())
  await s.clock.advance(100 * 365 * 86_400_000)
  expect(await reapDeadLetters(s.state, { owner: 'me', limit: 10 })).toBe(0)
  expect(await countDeadLetters(s.state)).toBe(1)
})

describe('redrive', () => {
  const render = (_: unknown, provider: string, token: string) => ({ provider, token })
  test('PITFALLS 36: a fresh token, and a request rendered under it', async () => {
    const s = await setUp()
    const origin = { kind: 'chain_step', chain_id: 'c', step: 'notify', iteration: 2 } as const
    const l = s.letter({ origin, token: deliveryToken('run-1', 'notify', 2) })
    const once = redriven(l, 'nonce-1', render)
    expect(once.token).toBe(deliveryToken('run-1', 'notify', 2, 'nonce-1'))
    expect(once).toMatchObject({ redrives: 1, nonce: 'nonce-1', request: { provider: 'p', token: once.token } })
    const tokens = [l, once, redriven(once, 'nonce-2', render)].map((x) => x.token)
    expect(new Set(tokens).size).toBe(3)
  })
  test('of two at once one wins; a letter that comes back is another version of itself', async () => {
    const s = await setUp()
    const l = s.letter()
    await s.put(l)
    const both = await Promise.all([1, 2].map(() => s.state.commit(scope, deleteDeadLetter(l))))
    expect(both.map((d) => d.ok).sort()).toEqual([false, true])
    const back = redriven(l, 'n', render)
    await s.put(back)
    // Somebody who still holds the letter as it was cannot remove the one that came back.
    expect((await s.state.commit(scope, deleteDeadLetter(l))).ok).toBe(false)
    expect((await s.state.commit(scope, deleteDeadLetter(back))).ok).toBe(true)
  })
  test('a redrive that is faster than the reaper wins, and the reaper takes nothing else', async () => {
    const s = await setUp()
    const l = s.letter()
    await s.put(l, 1000)
    await s.clock.advance(1000)
    const racing: StateStore = {
      ...s.state,
      async claim(kind, opts) {
        const due = await s.state.claim(kind, opts)
        await s.state.commit(scope, deleteDeadLetter(l))
        await s.put(redriven(l, 'n', render))
        return due
      },
    }
    expect(await reapDeadLetters(racing, { owner: 'me', limit: 10 })).toBe(0)
    expect(await countDeadLetters(s.state)).toBe(1)
  })
})

test('PITFALLS 52: a view is redacted and leaves out what only delivery needs', async () => {
  const s = await setUp()
  const redact = compileRedact({ enabled: true, fields: ['secret'], placeholder: '[REDACTED]' })
  const l = s.letter({ nonce: 'n', idempotency: 'i', dedup: [], fallback: 'f' })
  const view = deadLetterView(l, redact)
  expect(view).toMatchObject({
    id: l.id,
    provider: 'p',
    fallback: 'f',
    code: 'http_503',
    told_caller: true,
    action: { id: 'a1', payload: { secret: '[REDACTED]', deep: { secret: '[REDACTED]', kept: 2 } } },
  })
  expect(JSON.stringify(view)).not.toContain('s3')
  for (const hidden of ['request', 'token', 'nonce', 'dedup', 'idempotency']) expect(view).not.toHaveProperty(hidden)
  expect(l.action.payload).toMatchObject({ secret: 's3' })
})
