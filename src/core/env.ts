import type { Clock } from './clock.ts'
import type { Random } from './ids.ts'

/** A log line is an object and a message; redaction has happened before it gets here. */
export interface Log {
  debug(fields: object, message: string): void
  info(fields: object, message: string): void
  warn(fields: object, message: string): void
  error(fields: object, message: string): void
}

/** Everything from outside that is not a port: time, chance, ids and the log. Built once in app/; tests build it from fakes. */
export interface Env {
  readonly clock: Clock
  readonly random: Random
  /** A new UUIDv7. */
  readonly newId: () => string
  readonly log: Log
}
