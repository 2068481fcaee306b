import { expect, it } from 'vitest'
import { carryAll } from '../../src/audit/carry.ts'
import { handed } from '../../src/audit/handed.ts'
import { type AuditRow, outboxText } from '../../src/core/audit.ts'
import { StateUnavailable } from '../../src/core/errors.ts'
import { kinds } from '../../src/core/hold.ts'
import { openSqlite } from '../../src/state/sqlite.ts'
import { handsOver } from '../contract/hand-over.ts'
import { plainRow } from '../fakes/audit-row.ts'
import { testEnv } from '../fakes/env.ts'
import { folder } from '../state/folder.ts'

const inFolder = folder()
const scope = ['a', 'b'] as const

async function house(name: string) {
  const env = testEnv()
  const own = handed()
  const path = inFolder(`${name}.db`)
  const { state } = await openSqlite({ path, inThread: true, auditElsewhere: true, handOver: own, ...env })
  const appended: string[][] = []
  let trouble: ((ids: readonly string[]) => unknown) | undefined
  const append = async (rows: readonly AuditRow[]) => {
    const ids = rows.map((r) => r.id)
    await trouble?.(ids)
    appended.push(ids)
  }
  return {
    env,
    state,
    appended,
    meets(what: typeof trouble) {
      trouble = what
    },
    record: (id: string) => state.commit(scope, [{ op: 'record', row: plainRow(id, scope) }]),
    /** As a gateway that has died leaves them. */
    left: (ids: readonly string[]) =>
      state.commit(
        scope,
        ids.map((id) => ({
          op: 'put',
          kind: kinds.auditOutbox,
          id,
          value: outboxText([plainRow(id, scope)]),
          version: id,
          dueAt: 0,
        })),
      ),
    carry: (enough?: AbortSignal) =>
      carryAll({ own, state, audit: { append }, now: env.clock.now, log: env.log }, 'me', enough),
  }
}
const some = (n: number): string[] => Array.from({ length: n }, (_, i) => `left${i}`)

it('what is written here while much is found in the outbox is carried in between, not when that is done', async () => {
  const { left, record, meets, carry, appended, state } = await house('between')
  await left(some(200))
  let n = 0
  meets((ids) => (ids[0]!.startsWith('left') ? record(`own${n++}`) : undefined))
  expect(await carry()).toBe(204)
  expect(appended.map((ids) => (ids.length > 1 ? ids.length : ids[0]))).toEqual([
    64,
    'own0',
    64,
    'own1',
    64,
    'own2',
    8,
    'own3',
  ])
  expect((await state.list(kinds.auditOutbox, scope, { limit: 9 })).entries).toEqual([])
  await state.close()
})

it('where what was written here cannot be carried, what others have left is carried all the same, and the caller hears of it', async () => {
  const { left, record, meets, carry, appended, state } = await house('failing')
  await left(some(100))
  await record('own')
  const away = new StateUnavailable('too much for it just now')
  let asked = 0
  meets((ids) => {
    if (ids.includes('own') && ++asked > 0) throw away
  })
  await expect(carry()).rejects.toBe(away)
  expect([asked, appended.map((ids) => ids.length)]).toEqual([1, [64, 36]])
  meets(undefined)
  expect(await carry()).toBe(1)
  await state.close()
})

it('ends where it is told that it is enough', async () => {
  const { left, record, meets, carry, appended, state } = await house('enough')
  await left(some(200))
  await record('own')
  const enough = new AbortController()
  meets((ids) => {
    if (ids.length > 1) enough.abort()
  })
  expect(await carry(enough.signal)).toBe(65)
  expect(appended.flat()).toHaveLength(65)
  await state.close()
})

it('SQLite hands over what it has written for an audit elsewhere', () =>
  handsOver(async (handOver) => {
    const env = testEnv()
    const path = inFolder('hands.db')
    return { ...(await openSqlite({ path, inThread: true, auditElsewhere: true, handOver, ...env })), clock: env.clock }
  }))
