import type { SQLInputValue, SQLOutputValue } from 'node:sqlite'
import { decodeWindow, encodeWindow, type Window, windowEnd } from './window.ts'

/** How a small counted thing is kept: counters, windows, semaphores, heads of buffers. */
export interface Shape<T> {
  readonly no: number
  encode(value: T): SQLInputValue
  decode(state: SQLOutputValue): T
  /** When the row may be swept; undefined = never. */
  expiresAt(value: T): number | undefined
}

export interface Counter {
  readonly n: number
  readonly expiresAt: number
}
/** Holders and when each expires. */
export type Semaphore = readonly (readonly [holder: string, until: number])[]
/** What is remembered of a buffer beside its items: also while it is empty, so that seal numbers and intervals go on. */
export interface BufferHead {
  /** Number of the last seal; 0 = none yet. */
  readonly seal: number
  readonly sealedAt?: number
  readonly n: number
  readonly bytes: number
  /** When the open buffer is due, whatever a claim has moved its entry to. */
  readonly dueAt?: number
  /** How long an empty buffer must be remembered for its interval. */
  readonly intervalMs: number
}

/** An empty buffer is forgotten after this; by then its flushes have ended (`hold_max_age` is a day). */
const REMEMBER_MS = 7 * 86_400_000

export const counterShape: Shape<Counter> = {
  no: 1,
  encode: (c) => JSON.stringify([c.n, c.expiresAt]),
  decode: (s) => {
    const [n, expiresAt] = JSON.parse(String(s)) as [number, number]
    return { n, expiresAt }
  },
  expiresAt: (c) => c.expiresAt,
}
export const windowShape: Shape<Window> = {
  no: 2,
  encode: encodeWindow,
  decode: (s) => decodeWindow(String(s)),
  expiresAt: windowEnd,
}
export const semaphoreShape: Shape<Semaphore> = {
  no: 3,
  encode: (s) => JSON.stringify(s),
  decode: (s) => JSON.parse(String(s)) as Semaphore,
  expiresAt: (s) => s.reduce((last, [, until]) => Math.max(last, until), 0),
}
export const bufferShape: Shape<BufferHead> = {
  no: 4,
  encode: (b) => JSON.stringify(b),
  decode: (s) => JSON.parse(String(s)) as BufferHead,
  expiresAt: (b) =>
    b.n > 0 || b.sealedAt === undefined ? undefined : b.sealedAt + Math.max(REMEMBER_MS, b.intervalMs),
}
