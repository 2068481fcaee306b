import { expect, test, vi } from 'vitest'
import { auditStore } from '../../src/audit/scan.ts'
import { auditRow } from '../../src/core/audit.ts'
import { auditContract, type OpenAudit } from '../contract/audit.contract.ts'
import { stateContract } from '../contract/state.contract.ts'
import { type TestEnv, testEnv } from '../fakes/env.ts'
import { dynamo } from './dynamodb-open.ts'

// Each commit is some requests, and the server they go to lives in this very thread.
vi.setConfig({ testTimeout: 120_000 })
const db = dynamo()

stateContract(
  'dynamodb',
  Object.assign(async ({ clock }: TestEnv) => (await db.stores(clock)).state, { share: 0.2 }),
)
const trail: OpenAudit = async ({ clock }) => {
  const { state, audit } = await db.stores(clock)
  return { state, audit: auditStore(audit), close: () => state.close() }
}
auditContract('dynamodb', Object.assign(trail, { share: 0.4 }))

test('a position that names a node which is new here is followed all the same', async () => {
  const { clock } = testEnv()
  const one = await db.stores(clock)
  const other = await db.stores(clock, { tables: one.tables })
  const page = { limit: 9, maxChars: 1e6 }
  const record = (id: string) =>
    auditRow({
      id: `01890000-0000-7000-8000-00000000000${id}`,
      kind: 'dispatch',
      namespace: 'n',
      tenant: 't',
      action_id: id,
      run_id: id,
      action_type: 'x',
      outcome: 'executed',
      received_at: new Date(clock.now()).toISOString(),
      completed_at: new Date(clock.now()).toISOString(),
      duration_ms: 0,
    })
  // It looks at who is there, and may not look again for a while.
  const { next: empty } = await one.audit.follow({ ...page, after: undefined })
  await one.audit.follow({ ...page, after: empty })
  await other.audit.append([record('1')])
  const { next } = await other.audit.follow({ ...page, after: empty })
  await other.audit.append([record('2')])
  const seen = await one.audit.follow({ ...page, after: next })
  expect(seen.missed).toBeUndefined()
  expect(seen.rows.map((r) => (JSON.parse(r.json) as { action_id: string }).action_id)).toEqual(['2'])
  await Promise.all([one.state.close(), other.state.close()])
})
