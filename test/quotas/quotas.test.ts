import { beforeEach, describe, expect, test } from 'vitest'
import type { Scope } from '../../src/core/action.ts'
import { Problem } from '../../src/core/errors.ts'
import type { StateStore } from '../../src/core/state.ts'
import { openQuotas, overWarnings, type Quotas } from '../../src/quotas/quotas.ts'
import { type TestEnv, testEnv } from '../fakes/env.ts'
import { memoryState } from '../fakes/store.ts'

const SCOPE: Scope = ['iot', 'hq']
const BY = { caller: 'test' }
const HOURLY = { max_actions: 5, window: 'hourly' }

let env: TestEnv
let state: StateStore
let quotas: Quotas

const open = (enabled = true) =>
  openQuotas({
    state,
    now: env.clock.now,
    newId: env.newId,
    enabled,
    providerError: (name) => (name === 'pagr' ? 'no provider has this name; did you mean "pager"?' : undefined),
    changed: () => undefined,
  })

beforeEach(async () => {
  env = testEnv()
  state = (await memoryState(env)).state
  quotas = await open()
})

const refused = async (work: Promise<unknown>): Promise<Problem> => {
  const error = await work.then(
    () => undefined,
    (e: unknown) => e,
  )
  if (!(error instanceof Problem)) throw new Error('it was not refused')
  return error
}
/** The name of the quota that refused, or how the counters stand. */
async function count(provider?: string, scope: Scope = SCOPE, n = 1) {
  const counted = quotas.countOps(scope, provider, env.clock.now(), n)
  const done = await state.commit(scope, counted.ops)
  return done.ok
    ? { n: done.results.map((r) => r.n), warnings: overWarnings(counted, done.results) }
    : { refused: counted.quotas[done.at]?.name, used: done.n }
}

describe('counting', () => {
  test('PITFALLS 14: never over its limit, however many count at once; usage agrees', async () => {
    await quotas.put(SCOPE, 'q', HOURLY, BY)
    const all = await Promise.all(Array.from({ length: 20 }, () => count()))
    expect(all.filter((r) => 'n' in r).length).toBe(5)
    expect(all.filter((r) => 'refused' in r)[0]).toEqual({ refused: 'q', used: 5 })
    expect(await quotas.usage(SCOPE, 'q')).toEqual({
      name: 'q',
      namespace: 'iot',
      tenant: 'hq',
      limit: 5,
      used: 5,
      remaining: 0,
      window_starts_at: '2026-01-05T12:00:00.000Z',
      resets_at: '2026-01-05T13:00:00.000Z',
    })
  })
  test('a new window begins at nothing', async () => {
    await quotas.put(SCOPE, 'q', HOURLY, BY)
    for (let i = 0; i < 6; i++) await count()
    await env.clock.advance(3_600_000)
    expect(await count()).toEqual({ n: [1], warnings: [] })
    expect(await quotas.usage(SCOPE, 'q')).toMatchObject({ used: 1, resets_at: '2026-01-05T14:00:00.000Z' })
  })
  test('all quotas of an action count or none, in order of their names', async () => {
    await quotas.put(SCOPE, 'b-small', { max_actions: 1, window: 'daily' }, BY)
    await quotas.put(SCOPE, 'a-large', HOURLY, BY)
    expect(quotas.countOps(SCOPE, undefined, env.clock.now()).quotas.map((q) => q.name)).toEqual(['a-large', 'b-small'])
    await count()
    expect(await count()).toEqual({ refused: 'b-small', used: 1 })
    expect(await quotas.usage(SCOPE, 'a-large')).toMatchObject({ used: 1 })
  })
  test('a quota of a provider that is not there would limit nothing: it is refused', async () => {
    const error = await refused(quotas.put(SCOPE, 'q', { window: 'hourly', provider: 'pagr' }, BY))
    expect(error.errors).toEqual([
      { pointer: '/max_actions', message: 'is required' },
      { pointer: '/provider', message: 'no provider has this name; did you mean "pager"?' },
    ])
    expect((await refused(quotas.create(SCOPE, { ...HOURLY, provider: 'pagr' }, BY))).code).toBe('invalid_quota')
  })
  test('a quota moved to another provider begins anew there, and goes on where it was when it comes back', async () => {
    for (const [provider, n] of [
      ['mail', 1],
      ['sms', 1],
      ['mail', 2],
    ] as const) {
      await quotas.put(SCOPE, 'q', { ...HOURLY, provider }, BY)
      expect(await count(provider)).toEqual({ n: [n], warnings: [] })
    }
  })
  test('PITFALLS 16: quotas whose names and providers hold separators count by themselves', async () => {
    await quotas.put(SCOPE, 'q', { ...HOURLY, provider: 'p:' }, BY)
    await quotas.put(SCOPE, 'q:p', HOURLY, BY)
    expect(await count('p:')).toEqual({ n: [1, 1], warnings: [] })
    expect(await count('other')).toEqual({ n: [2], warnings: [] })
    expect(await quotas.usage(SCOPE, 'q')).toMatchObject({ used: 1 })
  })
  test('a quota of a provider counts only what goes there', async () => {
    await quotas.put(SCOPE, 'q', { ...HOURLY, provider: 'mail' }, BY)
    expect(await count('sms')).toEqual({ n: [], warnings: [] })
    expect(await count()).toEqual({ n: [], warnings: [] })
    expect(await count('mail', SCOPE, 3)).toEqual({ n: [3], warnings: [] })
    expect(await count('mail', SCOPE, 3)).toEqual({ refused: 'q', used: 3 })
  })
  test('warn counts on without a limit, and says so', async () => {
    await quotas.put(SCOPE, 'q', { ...HOURLY, overage_behavior: 'warn' }, BY)
    expect(await count(undefined, SCOPE, 5)).toEqual({ n: [5], warnings: [] })
    expect(await count()).toEqual({
      n: [6],
      warnings: ['quota_exceeded: quota "q" is at 6 of 5 until 2026-01-05T13:00:00.000Z'],
    })
  })
  test('nothing is asked where a scope has no quota, a disabled one, or quotas are off', async () => {
    expect(quotas.countOps(SCOPE, 'x', env.clock.now()).ops).toEqual([])
    await quotas.put(SCOPE, 'q', HOURLY, BY)
    expect(quotas.countOps(['iot', 'other'], 'x', env.clock.now()).ops).toEqual([])
    expect(quotas.countOps(SCOPE, 'x', env.clock.now()).ops.length).toBe(1)
    expect((await open(false)).countOps(SCOPE, 'x', env.clock.now()).ops).toEqual([])
    await quotas.put(SCOPE, 'q', { ...HOURLY, enabled: false }, BY)
    expect(quotas.countOps(SCOPE, 'x', env.clock.now()).ops).toEqual([])
  })
  test('PITFALLS 12: the counter has its expiry from the first count on, after the window’s end', async () => {
    await quotas.put(SCOPE, 'q', HOURLY, BY)
    await count()
    const [op] = quotas.countOps(SCOPE, undefined, env.clock.now()).ops
    if (op?.op !== 'count') throw new Error('no count')
    const [seen] = await state.peek('count', SCOPE, [op.id])
    expect(seen?.expiresAt).toBeGreaterThan(Date.parse('2026-01-05T13:00:00Z'))
  })
  test('a changed limit applies to what is counted; a node that did not change it knows at once', async () => {
    const other = await open()
    await quotas.put(SCOPE, 'q', HOURLY, BY)
    for (let i = 0; i < 5; i++) await count()
    await quotas.put(SCOPE, 'q', { ...HOURLY, max_actions: 6 }, BY)
    expect(await count()).toEqual({ n: [6], warnings: [] })
    await env.clock.advance(1_000)
    expect(other.countOps(SCOPE, undefined, env.clock.now()).quotas[0]?.limit).toBe(6)
  })
  test('PITFALLS 16: scopes and names that differ only by separators count apart', async () => {
    await quotas.put(['a', 'b:c'], 'q', { ...HOURLY, max_actions: 1 }, BY)
    await quotas.put(['a:b', 'c'], 'q', { ...HOURLY, max_actions: 1 }, BY)
    expect(await count('x', ['a', 'b:c'])).toEqual({ n: [1], warnings: [] })
    expect(await count('x', ['a:b', 'c'])).toEqual({ n: [1], warnings: [] })
    expect(quotas.list(['a', 'b%'], { limit: 10 }).quotas).toEqual([])
  })
})

describe('definitions', () => {
  test('PUT creates, then replaces; POST refuses a taken name; lists are paged by name', async () => {
    const first = await quotas.put(SCOPE, 'q', HOURLY, BY)
    expect(first).toMatchObject({
      created: true,
      view: { name: 'q', namespace: 'iot', tenant: 'hq', overage_behavior: 'block' },
    })
    const second = await quotas.put(SCOPE, 'q', { ...HOURLY, max_actions: 7 }, BY)
    expect(second).toMatchObject({ created: false, view: { max_actions: 7 } })
    expect(second.etag).not.toBe(first.etag)
    expect(await refused(quotas.create(SCOPE, { ...HOURLY, name: 'q' }, BY))).toMatchObject({ status: 409 })
    await quotas.create(['x', 'y'], { ...HOURLY, name: 'a', namespace: 'iot', tenant: 'hq' }, BY)
    const page = quotas.list(SCOPE, { limit: 1 })
    expect(page.quotas.map((q) => q['name'])).toEqual(['a'])
    expect(quotas.list(SCOPE, { limit: 1, after: page.next! })).toMatchObject({ quotas: [{ name: 'q' }] })
    expect(quotas.list(SCOPE, { limit: 2 }).next).toBeUndefined()
  })
  test('If-Match guards edits and deletes', async () => {
    const { etag } = await quotas.put(SCOPE, 'q', HOURLY, BY)
    expect(await refused(quotas.put(SCOPE, 'q', HOURLY, { ...BY, ifMatch: 'old' }))).toMatchObject({ status: 412 })
    expect(await refused(quotas.put(SCOPE, 'new', HOURLY, { ...BY, ifMatch: etag }))).toMatchObject({ status: 412 })
    expect(await refused(quotas.delete(SCOPE, 'q', { ...BY, ifMatch: 'old' }))).toMatchObject({ status: 412 })
    expect(await quotas.delete(SCOPE, 'q', { ...BY, ifMatch: etag })).toBe(true)
    expect(await quotas.delete(SCOPE, 'q', BY)).toBe(false)
    expect(quotas.get(SCOPE, 'q')).toBeUndefined()
  })
  test('of two PUTs at once with If-Match one wins', async () => {
    const { etag } = await quotas.put(SCOPE, 'q', HOURLY, BY)
    const all = await Promise.allSettled(
      [6, 7, 8].map((max_actions) => quotas.put(SCOPE, 'q', { ...HOURLY, max_actions }, { ...BY, ifMatch: etag })),
    )
    expect(all.filter((r) => r.status === 'fulfilled').length).toBe(1)
  })
  test('every field at fault is named, what is not built by its name', async () => {
    const body = {
      max_action: 3,
      window: 'yearly',
      timezone: 'Mars',
      overage_behavior: { degrade: { fallback_provider: 'x' } },
    }
    const { errors, code, status } = await refused(quotas.put(SCOPE, 'q', body, BY))
    expect({ code, status }).toEqual({ code: 'invalid_quota', status: 400 })
    expect(Object.fromEntries(errors.map((e) => [e.pointer, e.message]))).toEqual({
      '/max_action': 'unknown field; did you mean "max_actions"?',
      '/max_actions': 'is required',
      '/window': 'expected hourly, daily, weekly, monthly or a number of seconds, 31536000 (a year) at most',
      '/timezone': expect.stringContaining('is no time zone'),
      '/overage_behavior': '"degrade" is not supported yet, expected "block" or "warn"',
    })
    expect(
      (await quotas.put(SCOPE, 'q', { ...HOURLY, provider: null, extra: null }, BY)).view['provider'],
    ).toBeUndefined()
    expect(await refused(quotas.put(SCOPE, 'q', { ...HOURLY, name: 'p' }, BY))).toMatchObject({
      errors: [{ pointer: '/name' }],
    })
    expect(await refused(quotas.put(SCOPE, 'a\u0000', HOURLY, BY))).toMatchObject({ errors: [{ pointer: '/name' }] })
  })
})
