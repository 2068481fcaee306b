import type { Env, Log } from '../../src/core/env.ts'
import { seededRandom, uuidv7Source } from '../../src/core/ids.ts'
import { type FakeClock, fakeClock } from './clock.ts'

export interface Logged {
  readonly level: 'debug' | 'info' | 'warn' | 'error'
  readonly fields: object
  readonly message: string
}
export type TestEnv = Env & { readonly clock: FakeClock; readonly logged: Logged[] }

/** Everything from outside, simulated: the same seed gives the same run. */
export function testEnv(opts: { seed?: number; clock?: FakeClock } = {}): TestEnv {
  const clock = opts.clock ?? fakeClock()
  const random = seededRandom(opts.seed ?? 1)
  const logged: Logged[] = []
  const to =
    (level: Logged['level']) =>
    (fields: object, message: string): void => {
      logged.push({ level, fields, message })
    }
  const log: Log = { debug: to('debug'), info: to('info'), warn: to('warn'), error: to('error') }
  return { clock, random, newId: uuidv7Source(clock.now, random), log, logged }
}
