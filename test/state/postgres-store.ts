import { monotonicClock } from '../../src/core/clock.ts'
import { systemRandom } from '../../src/core/ids.ts'
import type { StoreSettings } from '../../src/state/opened.ts'
import { type OpenedPostgres, openPostgres } from '../../src/state/postgres.ts'
import { type TestEnv, testEnv } from '../fakes/env.ts'
import { postgresSettings } from './postgres-settings.ts'

/** On the clock of the test, which is the store's. */
export const openSimulated = (url: string, prefix: string, env: TestEnv, more: Partial<StoreSettings> = {}) =>
  openPostgres({ ...postgresSettings(url), prefix, ...more }, { ...env, auditElsewhere: false, storeTime: env.clock })

/** As it is opened to serve: on the machine's clock, the difference to the server's measured. */
export const openReal = (url: string, more: Partial<StoreSettings> = {}): Promise<OpenedPostgres> =>
  openPostgres(
    { ...postgresSettings(url), ...more },
    { clock: monotonicClock(), random: systemRandom(), log: testEnv().log, auditElsewhere: false },
  )

/** It has acted once it is ready for the next query: before that an answer may leave while the transaction still stands. */
export const readyForQuery = (said: Buffer): boolean => said.subarray(-6, -1).equals(Buffer.from([0x5a, 0, 0, 0, 5]))
