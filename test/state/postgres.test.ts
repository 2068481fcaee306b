import { afterAll, beforeAll, describe } from 'vitest'
import type { Lost } from '../contract/state/subject.ts'
import { stateContract } from '../contract/state.contract.ts'
import { type Postgres, startPostgres, withoutPostgres } from '../servers/postgres.ts'
import { startProxy, type TcpProxy } from '../servers/proxy.ts'
import { openSimulated, readyForQuery } from './postgres-store.ts'

/** What a call looks like on the wire. */
const onWire: { readonly [call in Lost]: (data: Buffer) => boolean } = {
  commit: (data) => data.includes('commit_batch('),
  claim: (data) => data.includes('claim_due('),
  read: (data) => !/commit_batch\(|claim_due\(|sweep\(/.test(data.toString('latin1')),
}

// Thousands of commits one after the other, each durable before the next.
describe.skipIf(withoutPostgres())('on a server of its own', { timeout: 60_000 }, () => {
  let server: Postgres
  let proxy: TcpProxy
  beforeAll(async () => {
    server = await startPostgres()
    proxy = await startProxy({ port: Number(new URL(server.url).port) })
  })
  afterAll(async () => {
    await proxy.close()
    await server.stop()
  })
  let n = 0
  const name = () => `contract_${++n}`

  stateContract('postgres', async (env) => {
    const { state } = await openSimulated(proxy.url(server.url), name(), env)
    return { state, lose: (call) => proxy.loseReply({ request: onWire[call], answered: readyForQuery }) }
  })
})
