import { beforeEach, describe, expect, test } from 'vitest'
import type { Scope } from '../../src/core/action.ts'
import { Problem } from '../../src/core/errors.ts'
import { compileRedact } from '../../src/core/redact.ts'
import { type Recurrings, recurrings } from '../../src/schedules/recurrings.ts'
import { type TestEnv, testEnv } from '../fakes/env.ts'
import { memoryState } from '../fakes/store.ts'

const SCOPE: Scope = ['iot', 'hq']
const BY = { caller: 'test' }
const BODY = { action_type: 'ping', cron_expression: '*/5 * * * *', payload: { token: 'secret', a: 1 } }

let env: TestEnv
let defs: Recurrings
let changes: string[]

const refused = async (work: Promise<unknown>): Promise<Problem> => {
  const error = await work.then(
    () => undefined,
    (e: unknown) => e,
  )
  if (!(error instanceof Problem)) throw new Error('it was not refused')
  return error
}
const faults = async (body: object): Promise<Record<string, string>> =>
  Object.fromEntries((await refused(defs.put(SCOPE, 'x', body, BY))).errors.map((e) => [e.pointer, e.message]))

beforeEach(async () => {
  env = testEnv()
  changes = []
  const { state } = await memoryState(env)
  defs = recurrings({
    state,
    now: env.clock.now,
    newId: env.newId,
    redact: compileRedact({ enabled: true, fields: ['token'], placeholder: '***' }),
    maxPerScope: () => 3,
    providerError: (name) => (name === 'log' ? undefined : `there is no provider "${name}"`),
    changed: (what) => {
      changes.push(what)
      return undefined
    },
  })
})

describe('definitions', () => {
  test('PUT creates, the same PUT again changes nothing, another one edits', async () => {
    const first = await defs.put(SCOPE, 'hb', BODY, BY)
    expect(first).toMatchObject({
      created: true,
      view: { status: 'active', next_execution_at: '2026-01-05T12:05:00.000Z' },
    })
    const again = await defs.put(SCOPE, 'hb', BODY, BY)
    expect(again).toEqual({ ...first, created: false })
    const edited = await defs.put(SCOPE, 'hb', { ...BODY, cron_expression: '0 * * * *' }, BY)
    expect(edited.created).toBe(false)
    expect(edited.etag).not.toBe(first.etag)
    expect(edited.view['next_execution_at']).toBe('2026-01-05T13:00:00.000Z')
    expect(changes).toEqual(['recurring action created', 'recurring action changed'])
  })
  test('views are redacted, what is stored is not', async () => {
    const { view } = await defs.put(SCOPE, 'hb', BODY, BY)
    expect(view['payload']).toEqual({ token: '***', a: 1 })
    expect((await defs.list(SCOPE, { limit: 10 })).recurring[0]?.['payload']).toEqual({ token: '***', a: 1 })
  })
  test('POST makes a name, and refuses one that is taken', async () => {
    const { view } = await defs.create(SCOPE, BODY, BY)
    expect(view['name']).toMatch(/^recurring-/)
    await defs.create(SCOPE, { ...BODY, name: 'hb' }, BY)
    expect(await refused(defs.create(SCOPE, { ...BODY, name: 'hb' }, BY))).toMatchObject({
      status: 409,
      code: 'already_exists',
    })
  })
  test('If-Match guards edits and deletes', async () => {
    const { etag } = await defs.put(SCOPE, 'hb', BODY, BY)
    expect(await refused(defs.pause(SCOPE, 'hb', { ...BY, ifMatch: 'old' }))).toMatchObject({ status: 412 })
    const paused = await defs.pause(SCOPE, 'hb', { ...BY, ifMatch: etag })
    expect(paused.view['status']).toBe('paused')
    expect(paused.view['next_execution_at']).toBeUndefined()
    expect(await refused(defs.delete(SCOPE, 'hb', { ...BY, ifMatch: etag }))).toMatchObject({ status: 412 })
    expect(await defs.delete(SCOPE, 'hb', { ...BY, ifMatch: paused.etag })).toBe(true)
    expect(await defs.delete(SCOPE, 'hb', BY)).toBe(false)
  })
  test('pausing what is not there is 404', async () => {
    expect(await refused(defs.pause(SCOPE, 'nobody', BY))).toMatchObject({ status: 404 })
  })
  test('the limit per tenant is exact, however many create at once, and a delete makes room', async () => {
    const all = await Promise.allSettled(Array.from({ length: 8 }, (_, i) => defs.put(SCOPE, `r${i}`, BODY, BY)))
    expect(all.filter((r) => r.status === 'fulfilled').length).toBe(3)
    expect(await refused(defs.put(SCOPE, 'r9', BODY, BY))).toMatchObject({ status: 409, code: 'recurring_limit' })
    await defs.put(['iot', 'other'], 'r0', BODY, BY)
    const [one] = (await defs.list(SCOPE, { limit: 1 })).recurring
    await defs.delete(SCOPE, String(one?.['name']), BY)
    expect((await defs.put(SCOPE, 'r9', BODY, BY)).created).toBe(true)
  })
  test('PITFALLS 16: names and scopes with separators in them stay apart', async () => {
    await defs.put(['a', 'b:c'], 'x', BODY, BY)
    expect(await defs.get(['a:b', 'c'], 'x')).toBeUndefined()
    expect((await defs.list(['a', 'b'], { limit: 10 })).recurring).toEqual([])
    expect((await defs.list(['a', '%'], { limit: 10 })).recurring).toEqual([])
  })
})

describe('bad bodies', () => {
  test('every field at fault is named at once', async () => {
    expect(await faults({ cron_expresion: '* * * * *', provider: 'lgo', max_executions: 0 })).toMatchObject({
      '/cron_expresion': 'unknown field; did you mean "cron_expression"?',
      '/action_type': 'is required',
      '/max_executions': 'must be at least 1',
    })
    expect(
      await faults({
        action_type: 'a',
        cron_expression: '* * *',
        provider: 'lgo',
        payload: { x: '{{execution_tme}}' },
      }),
    ).toMatchObject({
      '/cron_expression': expect.stringContaining('has 3 fields'),
      '/provider': 'there is no provider "lgo"',
      '/payload': expect.stringContaining('did you mean "execution_time"?'),
    })
  })
  test('both names of the cron, or neither, are refused', async () => {
    expect(await faults({ action_type: 'a', cron_expression: '* * * * *', cron_expr: '* * * * *' })).toHaveProperty(
      '/cron_expr',
    )
    expect(await faults({ action_type: 'a' })).toEqual({ '/cron_expression': 'is required' })
  })
  test('a name of the body’s own is that of the path', async () => {
    expect(await faults({ ...BODY, name: 'y' })).toEqual({ '/name': 'is not the name in the path, "x"' })
    expect((await defs.put(SCOPE, 'x', { ...BODY, name: 'x' }, BY)).created).toBe(true)
  })
  test('a wrong zone is named, with the nearest', async () => {
    expect((await faults({ ...BODY, timezone: 'Europe/Berln' }))['/timezone']).toContain('Europe/Berlin')
  })
  test('what is not built is refused by name', async () => {
    expect(
      Object.keys(
        await faults({
          cron_expression: '99 * * * *',
          timezone: 'Mars/X',
          provider: 'pagr',
          end_date: 'tomorrow',
          overlap_policy: 'cancel_other',
        }),
      ).toSorted(),
    ).toEqual(['/action_type', '/cron_expression', '/end_date', '/overlap_policy', '/provider', '/timezone'])
    expect(Object.keys(await faults({ action_type: 'x', cron_expr: 5 }))).toEqual(['/cron_expr'])
    expect(await faults({ ...BODY, end_date: 'tomorrow' })).toEqual({
      '/end_date': 'expected an RFC 3339 date and time',
    })
    expect((await faults({ ...BODY, overlap_policy: 'cancel_other' }))['/overlap_policy']).toContain(
      '"cancel_other" is not supported yet',
    )
    expect((await faults({ ...BODY, missed: 'fire_all' }))['/missed']).toContain('"fire_all" is not supported yet')
    expect((await faults({ ...BODY, backfill: {} }))['/backfill']).toContain('is not supported yet')
  })
  test('metadata is flat text, also under labels; names of any shape are plain data', async () => {
    expect(await faults({ ...BODY, metadata: { a: 1 } })).toHaveProperty('/metadata')
    const body = JSON.parse(
      '{"action_type":"a","cron_expression":"* * * * *","metadata":{"labels":{"zone":"b"}},"payload":{"__proto__":{"x":1}}}',
    ) as object
    const { view } = await defs.put(SCOPE, 'm', body, BY)
    expect(view['metadata']).toEqual({ zone: 'b' })
    expect(Object.keys(view['payload'] as object)).toEqual(['__proto__'])
  })
})
