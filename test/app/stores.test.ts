import { expect, it } from 'vitest'
import { openStores } from '../../src/app/stores.ts'
import { auditRow } from '../../src/core/audit.ts'
import { StateUnavailable } from '../../src/core/errors.ts'
import { testEnv } from '../fakes/env.ts'
import { folder } from '../state/folder.ts'
import { readText } from './config/read.ts'

const inFolder = folder()
const files = new Map<string, string>()
const file = (name: string): string => {
  if (!files.has(name)) files.set(name, inFolder(name))
  return files.get(name)!
}
const scope = ['factory', 'hall'] as const

function settings(state: string, audit: string) {
  const { config } = readText('[[providers]]\nname = "console"\ntype = "log"\n')
  return {
    state: { ...config!.state, path: file(state) },
    audit: { ...config!.audit, path: file(audit) },
  }
}
const record = (id: string) =>
  auditRow({
    id,
    kind: 'dispatch',
    namespace: scope[0],
    tenant: scope[1],
    action_id: 'a',
    run_id: 'r',
    action_type: 'reading',
    outcome: 'executed',
    received_at: '2026-01-01T00:00:00.000Z',
    completed_at: '2026-01-01T00:00:00.000Z',
    duration_ms: 0,
  })

it('an audit in the place of the state has a record with its commit; there is nothing to carry', async () => {
  const env = testEnv()
  const stores = await openStores(settings('one.db', 'one.db'), env)
  const id = env.newId()
  await stores.state.commit(scope, [{ op: 'record', row: record(id) }])
  expect((await stores.audit.query(scope, {}, { limit: 9 })).records.map((r) => r.id)).toEqual([id])
  expect(await stores.carryAudit('node')).toBe(0)
  expect(stores.where).toBe(`State and audit in ${file('one.db')}`)
  expect([stores.trouble(), stores.clockOffsetMs()]).toEqual([undefined, 0])
  await stores.close()
})

it('an audit in another place has it once it was carried there, once, also after a restart', async () => {
  const env = testEnv()
  const both = settings('state.db', 'audit.db')
  const before = await openStores(both, env)
  const id = env.newId()
  await before.state.commit(scope, [{ op: 'record', row: record(id) }])
  expect((await before.audit.query(scope, {}, { limit: 9 })).records).toEqual([])
  await before.close()
  const stores = await openStores(both, env)
  // So long they were the other's to carry.
  await env.clock.advance(9999)
  expect(await stores.carryAudit('node')).toBe(0)
  await env.clock.advance(1)
  expect(await stores.carryAudit('node')).toBe(1)
  expect(await stores.carryAudit('node')).toBe(0)
  expect((await stores.audit.query(scope, {}, { limit: 9 })).records.map((r) => r.id)).toEqual([id])
  expect(stores.where).toBe(`State in ${file('state.db')}, audit in ${file('audit.db')}`)
  await stores.close()
})

it('who has written records for an audit in another place carries them at once, and is told when they are many', async () => {
  const env = testEnv()
  const stores = await openStores(settings('own-state.db', 'own-audit.db'), env)
  let rung = 0
  stores.whenMuchToCarry(() => rung++)
  const ids = Array.from({ length: 5 }, () => env.newId())
  for (const id of ids) {
    const row = record(id)
    const json = JSON.stringify({ ...JSON.parse(row.json), payload: { text: 'x'.repeat(100_000) } })
    await stores.state.commit(scope, [{ op: 'record', row: { ...row, json } }])
  }
  expect(rung).toBe(2)
  expect(await stores.carryAudit('node')).toBe(5)
  const { records } = await stores.audit.query(scope, {}, { limit: 9 })
  expect(records.map((r) => r.id)).toEqual(ids.toReversed())
  expect((await stores.state.depths()).filter((d) => d.waiting > 0)).toEqual([])
  await stores.close()
})

it('where the audit cannot be opened, the store is not left open', async () => {
  const env = testEnv()
  const both = settings('alone.db', 'taken.db')
  const holder = await openStores(settings('taken.db', 'taken.db'), env)
  await expect(openStores(both, env)).rejects.toThrow(StateUnavailable)
  const again = await openStores(settings('alone.db', 'alone.db'), env)
  await again.close()
  await holder.close()
})

it.each([
  [61_000, [61_000]],
  [60_000, []],
])('a start on a clock that lies %d ms behind what the store has recorded', async (ahead, told) => {
  const of = `clock-${ahead}.db`
  const later = testEnv()
  await later.clock.advance(ahead)
  const before = await openStores(settings(of, of), later)
  await before.state.commit(scope, [{ op: 'record', row: record(later.newId()) }])
  await before.close()
  // Not the first start after it alone: what that has recorded is older.
  for (const seed of [2, 3]) {
    const env = testEnv({ seed })
    const stores = await openStores(settings(of, of), env)
    expect(env.logged.filter((l) => l.level === 'warn').map((l) => l.fields)).toEqual(
      told.map((ms) => ({ ahead_ms: ms })),
    )
    await stores.state.commit(scope, [{ op: 'record', row: record(env.newId()) }])
    await stores.close()
  }
})
