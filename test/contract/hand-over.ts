import { expect } from 'vitest'
import type { Scope } from '../../src/core/action.ts'
import { type HandOver, type InOutbox, outboxText } from '../../src/core/audit.ts'
import { kinds } from '../../src/core/hold.ts'
import type { StateStore } from '../../src/core/state.ts'
import type { Opened } from '../../src/state/opened.ts'
import { plainRow } from '../fakes/audit-row.ts'

const AHEAD_MS = 60_000

/** A backend opened for an audit elsewhere hands over what it has written, as it stands in the outbox, and nothing else. */
export async function handsOver(open: (handOver: HandOver) => Promise<Pick<Opened, 'state' | 'clock'>>): Promise<void> {
  const got: InOutbox[] = []
  const { state, clock } = await open({ aheadMs: AHEAD_MS, take: (entry) => got.push(entry) })
  const before = clock.now()
  const scope = ['handed', 'over'] as const
  const record = (id: string, at: Scope = scope) => ({ op: 'record', row: plainRow(id, at) }) as const
  await state.commit(scope, [record('dry')], { dry: true })
  await state.commit(scope, [record('refused'), { op: 'count', id: 'c', by: 2, limit: 1, expiresAt: 9e15 }])
  for (let twice = 0; twice < 2; twice++) await state.commit(scope, [record('1'), record('2')])
  await (await state.control('topic')).put('x', '1', { record: plainRow('3', ['', '']) })
  const there = [...(await entries(state, scope)), ...(await entries(state, ['', '']))]
  expect(got.flatMap((e) => e.rows.map((r) => r.id)).sort()).toEqual(['1', '2', '3'])
  expect(got.map((e) => [e.id, e.scope, e.dueAt, outboxText(e.rows)]).sort()).toEqual(
    there.map((e) => [e.key.id, e.key.scope, e.dueAt, e.value]).sort(),
  )
  for (const { dueAt } of got) expect(dueAt - before).toBeGreaterThanOrEqual(AHEAD_MS)
  expect(await state.claim(kinds.auditOutbox, { owner: 'o', leaseMs: 1000, limit: 9 })).toEqual([])
  await state.close()
}
const entries = async (state: StateStore, scope: Scope) =>
  (await state.list(kinds.auditOutbox, scope, { limit: 9 })).entries
