import { vi } from 'vitest'
import { auditStore } from '../../src/audit/scan.ts'
import { auditContract } from '../contract/audit.contract.ts'
import { stateContract } from '../contract/state.contract.ts'
import type { TestEnv } from '../fakes/env.ts'
import { dynamo } from './dynamodb-open.ts'

// Each commit is some requests, and the server they go to lives in this very thread.
vi.setConfig({ testTimeout: 120_000 })
const db = dynamo()

stateContract(
  'dynamodb',
  Object.assign(async ({ clock }: TestEnv) => (await db.stores(clock)).state, { share: 0.2 }),
)
auditContract('dynamodb', async ({ clock }) => {
  const { state, audit } = await db.stores(clock)
  return { state, audit: auditStore(audit), close: () => state.close() }
})
