import { hostname } from 'node:os'
import pino from 'pino'
import type { Clock } from '../core/clock.ts'
import type { Log } from '../core/env.ts'
import { logWriter } from './log-writer.ts'

const LEVELS: readonly string[] = ['debug', 'info', 'warn', 'error', 'silent']

/** JSON lines on standard error. `LOG_LEVEL`: debug, info (default), warn, error or silent. */
export function openLog(clock: Clock): { readonly log: Log; readonly close: () => Promise<void> } {
  const to = logWriter(2, clock)
  const asked = process.env['LOG_LEVEL'] ?? 'info'
  const level = LEVELS.includes(asked) ? asked : 'info'
  const logger = pino({ level, base: { pid: process.pid, host: hostname() }, errorKey: 'error' }, to)
  const at =
    (name: keyof Log) =>
    (fields: object, message: string): void =>
      logger[name](fields, message)
  if (level !== asked) logger.warn({ asked }, `LOG_LEVEL is none of ${LEVELS.join(', ')}; info is taken`)
  return {
    log: { debug: at('debug'), info: at('info'), warn: at('warn'), error: at('error') },
    close: () => to.close(),
  }
}
