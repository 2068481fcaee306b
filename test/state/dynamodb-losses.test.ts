import { afterAll, beforeAll, vi } from 'vitest'
import { auditStore } from '../../src/audit/scan.ts'
import { auditContract, type OpenAudit } from '../contract/audit.contract.ts'
import { stateContract } from '../contract/state.contract.ts'
import type { TestEnv } from '../fakes/env.ts'
import { startProxy, type TcpProxy } from '../servers/proxy.ts'
import { dynamo } from './dynamodb-open.ts'

// What is lost is asked for again after a wait: callers see nothing of it.
vi.setConfig({ testTimeout: 120_000 })
const db = dynamo()
let proxy: TcpProxy
let losing = true
beforeAll(async () => {
  proxy = await startProxy({ port: Number(new URL(db.url()).port) })
  let asked = 0
  // A request that comes in pieces is one.
  const third = { request: (data: Buffer) => data.includes('DynamoDB_20120810.') && ++asked % 3 === 0 }
  const again = (): void => void proxy.loseReply(third).then(() => losing && again())
  again()
})
afterAll(async () => {
  losing = false
  await proxy.close()
})
const stores = ({ clock }: TestEnv) => db.stores(clock, { endpoint: `http://127.0.0.1:${proxy.port}` })

const state = async (env: TestEnv) => (await stores(env)).state
stateContract('dynamodb, every third answer lost', Object.assign(state, { share: 0.02 }))
const trail: OpenAudit = async (env) => {
  const { state, audit } = await stores(env)
  return { state, audit: auditStore(audit), close: () => state.close() }
}
auditContract('dynamodb, every third answer lost', Object.assign(trail, { share: 0.2 }))
