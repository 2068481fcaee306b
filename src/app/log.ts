import { hostname } from 'node:os'
import pino from 'pino'
import type { Clock } from '../core/clock.ts'
import type { Log } from '../core/env.ts'
import { logWriter } from './log-writer.ts'

const LEVELS: readonly string[] = ['debug', 'info', 'warn', 'error', 'silent']

/**
 * JSON lines on standard error. `LOG_LEVEL`: debug, info (default), warn, error or silent.
 *
 * Two lines a dispatch are information without an error in it. Those are put together here, as pino would and at a third of the cost;
 * everything else is pino's.
 */
export function openLog(clock: Clock, fd = 2): { readonly log: Log; readonly close: () => Promise<void> } {
  const to = logWriter(fd, clock)
  const asked = process.env['LOG_LEVEL'] ?? 'info'
  const level = LEVELS.includes(asked) ? asked : 'info'
  const base = { pid: process.pid, host: hostname() }
  const timestamp = (): string => `,"time":${clock.now()}`
  const logger = pino({ level, base, timestamp, errorKey: 'error' }, to)
  const at =
    (name: keyof Log) =>
    (fields: object, message: string): void =>
      logger[name](fields, message)
  const who = JSON.stringify(base).slice(1, -1)
  let headAt = Number.NaN
  let head = ''
  // Of the lines of one millisecond; and what lines say again and again ends in a text that is made once.
  const headOf = (now: number): string => {
    if (now !== headAt) {
      head = `{"level":30,"time":${now},${who}`
      headAt = now
    }
    return head
  }
  const tails = new Map<string, string>()
  const tailOf = (message: string): string => {
    let tail = tails.get(message)
    if (tail === undefined) {
      tail = `,"msg":${JSON.stringify(message)}}\n`
      if (tails.size < TAILS) tails.set(message, tail)
    }
    return tail
  }
  const informs = logger.isLevelEnabled('info')
  const info = (fields: object, message: string): void => {
    if (!informs) return
    const json = 'error' in fields || 'err' in fields ? undefined : textOf(fields)
    if (json === undefined) {
      logger.info(fields, message)
      return
    }
    const said = json === '{}' ? '' : `,${json.slice(1, -1)}`
    to.write(headOf(clock.now()) + said + tailOf(message))
  }
  if (level !== asked) logger.warn({ asked }, `LOG_LEVEL is none of ${LEVELS.join(', ')}; info is taken`)
  return {
    log: { debug: at('debug'), info, warn: at('warn'), error: at('error') },
    close: () => to.close(),
  }
}

/** Messages whose end is kept. */
const TAILS = 64

/** Undefined where it is no JSON (a circle, say): pino has an answer to that. */
function textOf(fields: object): string | undefined {
  try {
    return JSON.stringify(fields)
  } catch {
    return undefined
  }
}
