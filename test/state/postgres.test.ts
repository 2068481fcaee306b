import { afterAll, beforeAll, describe } from 'vitest'
import { openPostgres } from '../../src/state/postgres.ts'
import type { Lost } from '../contract/state/subject.ts'
import { stateContract } from '../contract/state.contract.ts'
import type { TestEnv } from '../fakes/env.ts'
import { type Postgres, startPostgres, withoutPostgres } from '../servers/postgres.ts'
import { startProxy, type TcpProxy } from '../servers/proxy.ts'
import { postgresSettings } from './postgres-settings.ts'

/** What a call looks like on the wire. */
const onWire: { readonly [call in Lost]: (data: Buffer) => boolean } = {
  commit: (data) => data.includes('run_batch('),
  claim: (data) => data.includes('take_due('),
  read: (data) => !/run_batch\(|take_due\(|sweep\(/.test(data.toString('latin1')),
}
/** It has acted once it is ready for the next query: before that an answer may leave while the transaction still stands. */
const readyForQuery = (said: Buffer): boolean => said.subarray(-6, -1).equals(Buffer.from([0x5a, 0, 0, 0, 5]))

describe.skipIf(withoutPostgres())('on a server of its own', () => {
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
  const open = (env: TestEnv, url: string) =>
    openPostgres(
      { ...postgresSettings(url), prefix: `contract_${++n}` },
      { ...env, auditElsewhere: false, storeTime: env.clock },
    )

  stateContract('postgres', async (env) => {
    const { state } = await open(env, proxy.url(server.url))
    return { state, lose: (call) => proxy.loseReply({ request: onWire[call], answered: readyForQuery }) }
  })
})
