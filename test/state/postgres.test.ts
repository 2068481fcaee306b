import { afterAll, beforeAll, describe } from 'vitest'
import { openPostgres } from '../../src/state/postgres.ts'
import { stateContract } from '../contract/state.contract.ts'
import { type Postgres, startPostgres, withoutPostgres } from '../servers/postgres.ts'
import { postgresSettings } from './postgres-settings.ts'

describe.skipIf(withoutPostgres())('on a server of its own', () => {
  let server: Postgres
  beforeAll(async () => {
    server = await startPostgres()
  })
  afterAll(() => server.stop())
  let n = 0
  stateContract('postgres', async (env) => {
    const opened = await openPostgres(
      { ...postgresSettings(server.url), prefix: `contract_${++n}` },
      { ...env, auditElsewhere: false, storeTime: env.clock },
    )
    return opened.state
  })
})
