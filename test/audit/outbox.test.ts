import { describe, expect, it } from 'vitest'
import { drainOutbox, outboxes } from '../../src/audit/outbox.ts'
import { fitting } from '../../src/audit/shorten.ts'
import { type AuditRecord, type AuditRow, auditRow, outboxText } from '../../src/core/audit.ts'
import { isoTime } from '../../src/core/clock.ts'
import { StateTooLarge, StateUnavailable, StateUnknown } from '../../src/core/errors.ts'
import { kinds } from '../../src/core/hold.ts'
import { openSqlite } from '../../src/state/sqlite.ts'
import { type TestEnv, testEnv } from '../fakes/env.ts'
import { folder } from '../state/folder.ts'

const file = folder()
const scope = ['a', 'b'] as const
const row = (id: string, more: Partial<AuditRecord> = {}): AuditRow =>
  auditRow({
    id,
    kind: 'dispatch',
    namespace: 'a',
    tenant: 'b',
    action_id: id,
    run_id: id,
    action_type: 't',
    outcome: 'executed',
    received_at: isoTime(0),
    completed_at: isoTime(0),
    duration_ms: 0,
    ...more,
  })
const opened = async (env: TestEnv, path: string) =>
  (await openSqlite({ path, inThread: true, auditElsewhere: true, synchronous: 'normal', ...env })).state
const refuses = (rows: readonly AuditRow[], at: (row: AuditRow) => boolean): Promise<void> | undefined =>
  rows.some(at) ? Promise.reject(new StateTooLarge('too large for it')) : undefined

describe('the outbox', () => {
  it('PITFALLS 54: keeps a record until the audit has it, through a failure and a restart', async () => {
    const env = testEnv()
    const path = file('outbox.db')
    const open = () => opened(env, path)
    const one = await open()
    const [id, admin] = [env.newId(), env.newId()]
    await one.commit(['a', 'b'], [{ op: 'record', row: row(id) }])
    await (await one.control('switches')).put('x', '1', { record: row(admin) })
    const down = { append: () => Promise.reject(new StateUnavailable('down')) }
    await expect(drainOutbox(one, down, 'one', env.log)).rejects.toThrow(StateUnavailable)
    await one.close()
    const two = await open()
    const arrived: AuditRow[] = []
    const up = { append: async (rows: readonly AuditRow[]) => void arrived.push(...rows) }
    expect(await drainOutbox(two, up, 'two', env.log)).toBe(2)
    expect(arrived.map((r) => r.id).sort()).toEqual([id, admin])
    expect(await drainOutbox(two, up, 'two', env.log)).toBe(0)
    await two.close()
  })

  it('ends when it is enough, although others fill it as fast as it is emptied', async () => {
    const env = testEnv()
    const state = await opened(env, file('filled.db'))
    const record = () => state.commit(scope, [{ op: 'record', row: row(env.newId()) }])
    const stop = new AbortController()
    let claims = 0
    const append = async () => {
      if (++claims === 5) stop.abort()
      await record() // another gateway's
    }
    await record()
    expect(await drainOutbox(state, { append }, 'one', env.log, { enough: stop.signal })).toBe(5)
    expect((await state.list(kinds.auditOutbox, scope, { limit: 9 })).entries).toHaveLength(1)
    await state.close()
  })

  /** An audit that says no to whatever has a row at fault; what it has, by id; and how it is come to again, each 30 s. */
  function picky(env: TestEnv, state: Awaited<ReturnType<typeof opened>>, at: (row: AuditRow) => boolean) {
    const has = new Map<string, AuditRecord>()
    const asked: number[] = []
    const append = async (rows: readonly AuditRow[]) => {
      asked.push(rows.length)
      await refuses(rows, at)
      for (const r of rows) if (!has.has(r.id)) has.set(r.id, JSON.parse(r.json) as AuditRecord)
    }
    const again = async () => {
      await env.clock.advance(31_000)
      return drainOutbox(state, { append }, 'one', env.log)
    }
    const waiting = async () => (await state.list(kinds.auditOutbox, scope, { limit: 99 })).entries.length
    return { has, asked, again, waiting }
  }
  const long = { payload: { text: 'x'.repeat(50_000) }, details: { response: 'y' } }

  it('PITFALLS 28: a record the audit refuses keeps no other back; it is shortened when it has been tried, and says so', async () => {
    const env = testEnv()
    const state = await opened(env, file('refused.db'))
    const ids = Array.from({ length: 20 }, () => env.newId())
    const bad = env.newId()
    await state.commit(scope, [{ op: 'record', row: row(bad, long) }])
    for (const id of ids) await state.commit(scope, [{ op: 'record', row: row(id) }])
    const { has, again, waiting } = picky(env, state, (r) => r.json.length > 40_000)
    expect(await again()).toBe(20)
    expect([...has.keys()].sort()).toEqual(ids)
    expect(await waiting()).toBe(1)
    await again()
    expect(await again()).toBe(1)
    expect(await waiting()).toBe(0)
    const { payload, details, ...rest } = has.get(bad)!
    expect(payload).toBeUndefined()
    expect(details).toEqual({ shortened: { why: 'too large for it', left_out: ['payload', 'details'] } })
    expect(rest).toEqual(JSON.parse(row(bad).json))
    expect(env.logged.filter((l) => l.level === 'warn')).toHaveLength(2)
    await state.close()
  })
  it('what a gateway of before has left, a row or a list of rows, is carried too', async () => {
    const env = testEnv()
    const state = await opened(env, file('before.db'))
    const rows = Array.from({ length: 3 }, () => row(env.newId(), long))
    const entry = (id: string, value: object) =>
      ({ op: 'put', kind: kinds.rowOutbox, id, value: JSON.stringify(value), version: 'v', dueAt: 0 }) as const
    await state.commit(scope, [entry('1', rows[0]!), entry('2', rows.slice(1))])
    const arrived: AuditRow[] = []
    const append = async (all: readonly AuditRow[]) => void arrived.push(...all)
    expect(await drainOutbox(state, { append }, 'one', env.log)).toBe(3)
    expect(arrived).toEqual(rows)
    expect((await state.list(kinds.rowOutbox, scope, { limit: 9 })).entries).toEqual([])
    await state.close()
  })
  it('of a gateway of before is looked for first, and then once a minute', () => {
    let now = 0
    const from = outboxes(() => now)
    const both = [kinds.auditOutbox, kinds.rowOutbox]
    const seen = [0, 59_999, 60_000, 60_001].map((at) => {
      now = at
      return from()
    })
    expect(seen).toEqual([both, [kinds.auditOutbox], both, [kinds.auditOutbox]])
  })
  it('a record arrives as it was written, with all an audit asks of it', async () => {
    const env = testEnv()
    const state = await opened(env, file('whole.db'))
    const more = { group_id: 'g', chain_id: 'c', provider: 'p', requested_provider: 'q', rule: 'r', caller: 'k' }
    const odd = { details: { '2': -0, '1': 1e21, __proto__: null, text: '\ud800 \u2028 ä "' } }
    const rows = [
      row(env.newId(), more),
      row(env.newId(), odd),
      row(env.newId(), JSON.parse('{"payload":{"__proto__":1}}')),
    ]
    for (const r of rows) await state.commit(scope, [{ op: 'record', row: r }])
    const arrived: AuditRow[] = []
    const append = async (all: readonly AuditRow[]) => void arrived.push(...all)
    expect(await drainOutbox(state, { append }, 'one', env.log)).toBe(3)
    expect(arrived).toEqual(rows)
    await state.close()
  })
  it('one refused record of an entry that is a list of them: the others are there at once', async () => {
    const env = testEnv()
    const state = await opened(env, file('list.db'))
    const [good, bad, other] = [row(env.newId()), row(env.newId(), long), row(env.newId())]
    const value = outboxText([good, bad, other])
    await state.commit(scope, [{ op: 'put', kind: kinds.auditOutbox, id: 'l', value, version: 'v', dueAt: 0 }])
    const { has, again, waiting } = picky(env, state, (r) => r.json.length > 40_000)
    expect(await again()).toBe(2)
    expect([...has.keys()]).toEqual([good.id, other.id])
    await again()
    expect(await again()).toBe(3)
    expect([has.size, await waiting()]).toEqual([3, 0])
    await state.close()
  })
  it('what is refused even so, or is no record, is set aside in the end, and the log says it as an error', async () => {
    const env = testEnv()
    const state = await opened(env, file('aside.db'))
    const bad = row(env.newId(), long)
    await state.commit(scope, [
      { op: 'record', row: bad },
      { op: 'put', kind: kinds.auditOutbox, id: 'no record', value: '{', version: 'v', dueAt: 0 },
    ])
    const { again, waiting } = picky(env, state, (r) => r.id === bad.id)
    for (let i = 0; i < 5; i++) expect(await again()).toBe(0)
    expect(await waiting()).toBe(2)
    expect(await again()).toBe(0)
    expect(await waiting()).toBe(0)
    const { entries } = await state.list(kinds.auditRefused, scope, { limit: 9 })
    expect(entries.map((e) => e.value).sort()).toEqual([outboxText([bad]), '{'].sort())
    expect(env.logged.filter((l) => l.level === 'error')).toHaveLength(2)
    expect((await state.depths()).filter((d) => d.kind.startsWith('audit'))).toEqual([])
    await state.close()
  })
  it.each([new StateUnavailable('down'), new StateUnknown('no answer')])(
    'an audit that is away is asked once, however long: nothing is shortened for it (%s)',
    async (error) => {
      const env = testEnv()
      const state = await opened(env, file(`away ${error.name}.db`))
      const ids = Array.from({ length: 10 }, () => env.newId())
      for (const id of ids) await state.commit(scope, [{ op: 'record', row: row(id, long) }])
      let asked = 0
      const append = () => {
        asked++
        return Promise.reject(error)
      }
      for (let i = 1; i <= 10; i++) {
        await env.clock.advance(31_000)
        await expect(drainOutbox(state, { append }, 'one', env.log)).rejects.toBe(error)
        expect(asked).toBe(i)
      }
      const up = picky(env, state, () => false)
      expect(await up.again()).toBe(10)
      expect([...up.has.values()].every((r) => r.payload !== undefined)).toBe(true)
      await state.close()
    },
  )
  it('so many are read and sent at once, and no more', async () => {
    const env = testEnv()
    const state = await opened(env, file('bounded.db'))
    const text = 'x'.repeat(100_000)
    for (let i = 0; i < 100; i++)
      await state.commit(scope, [{ op: 'record', row: row(env.newId(), { payload: { text } }) }])
    const { asked, again } = picky(env, state, () => false)
    expect(await again()).toBe(100)
    expect(Math.max(...asked)).toBeLessThanOrEqual(20)
    await state.close()
  })

  it('what is longer than the audit keeps arrives shortened at once: the metadata too, where it is that', async () => {
    const arrived: AuditRow[] = []
    const audit = fitting({ append: async (rows) => void arrived.push(...rows) }, 10_000)
    const metadata = { a: 'b' }
    await audit.append([
      row('1', { payload: { x: 'x' }, metadata }),
      row('2', { payload: { x: 'é'.repeat(6000) }, metadata }),
      row('3', { payload: {}, metadata: { a: 'x'.repeat(20_000) }, matched: ['rule'] }),
      // What is kept is counted in bytes, not in the most that its characters could be.
      row('4', { payload: { x: 'x'.repeat(9000) }, metadata }),
    ])
    const records = arrived.map((r) => JSON.parse(r.json) as AuditRecord)
    const why = 'the audit keeps records of up to 9 KB'
    expect(records[0]).toMatchObject({ payload: { x: 'x' }, metadata })
    expect(records[1]).toMatchObject({ metadata, details: { shortened: { why, left_out: ['payload', 'details'] } } })
    expect(records[1]).not.toHaveProperty('payload')
    expect(Object.keys(records[2]!)).not.toEqual(expect.arrayContaining(['metadata', 'matched', 'payload']))
    expect(records[2]).toMatchObject({ id: '3', outcome: 'executed' })
    expect(records[3]).toMatchObject({ payload: { x: 'x'.repeat(9000) }, metadata })
  })
})
