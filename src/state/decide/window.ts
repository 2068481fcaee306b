/**
 * A sliding window of admissions. Each pair (at, n) says that n admissions leave the window at `at + windowMs`.
 *
 * Up to EXACT_MAX one stamp per admission: the window is exact. Above, admissions are stamped with the end of their slot of
 * windowMs/100: they leave late by less than a slot, so no span of windowMs ever holds more than max, and what is inside
 * is never older than 1.01 windows, so a source that stays under the limit in each of those is never refused.
 * Both kinds of stamp mix freely, so a changed max applies to what is stored.
 */
export interface Window {
  windowMs: number
  readonly at: number[]
  readonly n: number[]
  total: number
}
export const EXACT_MAX = 100
const SLOTS = 100

export const emptyWindow = (windowMs: number): Window => ({ windowMs, at: [], n: [], total: 0 })

/** Drops what has left; what is dropped once is outside for ever, so this needs no undoing. */
export function prune(w: Window, now: number): void {
  let gone = 0
  while (gone < w.at.length && w.at[gone]! + w.windowMs <= now) w.total -= w.n[gone++]!
  if (gone > 0) {
    w.at.splice(0, gone)
    w.n.splice(0, gone)
  }
}

/** The first moment another could be admitted if nobody else came, or undefined when it could be now. */
export function refusal(w: Window, now: number, max: number): number | undefined {
  if (w.total < max) return undefined
  let mustLeave = w.total - max + 1
  for (let i = 0; i < w.at.length; i++) {
    mustLeave -= w.n[i]!
    if (mustLeave <= 0) return w.at[i]! + w.windowMs
  }
  return now + w.windowMs // max is 0: never, so look again after a window
}

/** Counts one admission; answers its stamp, by which `remove` takes it back. */
export function add(w: Window, now: number, max: number): number {
  const at = max <= EXACT_MAX ? now : slotEnd(now, w.windowMs)
  let i = w.at.length
  while (i > 0 && w.at[i - 1]! > at) i--
  if (i > 0 && w.at[i - 1] === at) w.n[i - 1]!++
  else {
    w.at.splice(i, 0, at)
    w.n.splice(i, 0, 1)
  }
  w.total++
  return at
}

export function remove(w: Window, at: number): void {
  const i = w.at.lastIndexOf(at)
  if (i < 0) return
  w.total--
  if (--w.n[i]! > 0) return
  w.at.splice(i, 1)
  w.n.splice(i, 1)
}

const slotEnd = (now: number, windowMs: number): number =>
  Math.ceil(((Math.floor((now * SLOTS) / windowMs) + 1) * windowMs) / SLOTS)

/** As text: [windowMs, first stamp, its n, then steps to the next stamp and their n]. */
export function encodeWindow(w: Window): string {
  const flat = [w.windowMs]
  let last = 0
  for (let i = 0; i < w.at.length; i++) {
    flat.push(w.at[i]! - last, w.n[i]!)
    last = w.at[i]!
  }
  return JSON.stringify(flat)
}
export function decodeWindow(text: string): Window {
  const flat = JSON.parse(text) as number[]
  const w = emptyWindow(flat[0]!)
  let at = 0
  for (let i = 1; i + 1 < flat.length; i += 2) {
    at += flat[i]!
    w.at.push(at)
    w.n.push(flat[i + 1]!)
    w.total += flat[i + 1]!
  }
  return w
}
/** When the last admission has left. */
export const windowEnd = (w: Window): number => (w.at.at(-1) ?? 0) + w.windowMs
