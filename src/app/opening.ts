import { systemClock } from '../core/clock.ts'
import type { Log } from '../core/env.ts'
import { type Random, systemRandom } from '../core/ids.ts'
import type { Config } from './config/config.ts'
import { openLog } from './log.ts'
import { openStores, type Stores } from './stores.ts'

/** What a gateway has before all else. */
export interface Opening {
  readonly random: Random
  readonly log: Log
  readonly closeLog: () => Promise<void>
  /** Rejects with StateUnavailable. */
  readonly stores: Promise<Stores>
}

/** Begins to open the stores: on SQLite two threads start, elsewhere connections are made, while the rest of the gateway is loaded. */
export function opening(config: Config): Opening {
  const clock = systemClock()
  const random = systemRandom()
  const { log, close: closeLog } = openLog(clock)
  const stores = openStores(config, { clock, random, log })
  stores.catch(() => undefined) // said by whoever waits for them, which is later
  return { random, log, closeLog, stores }
}
