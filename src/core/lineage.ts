import { createHmac, timingSafeEqual } from 'node:crypto'
import { isObject, type Json, own } from './json.ts'

/**
 * What an action has behind it, so that one which comes back can be told from a new one. Inside the gateway it travels beside the
 * action, where no caller can reach it; outside it is signed. Made anew at each step, never changed.
 */
export interface Lineage {
  /** Run id of the first admission. */
  readonly origin: string
  /** What it has passed, oldest first: `rule:<name>` and `chain:<name>`. One list, so that the way round can be told. */
  readonly passed: readonly Passed[]
  /** How often it has come back as a new action. */
  readonly hops: number
}
export type Passed = `rule:${string}` | `chain:${string}`

/** What it is called where it travels as a header, and where as an attribute or a key. */
export const LINEAGE_HEADER = 'Signalbox-Lineage'
export const LINEAGE_KEY = 'signalbox_lineage'
/** The control topic of the key that nobody has configured; no route reads it. */
export const LINEAGE_TOPIC = 'lineage'

/** More than these are refused, whatever is marked as reentrant. */
export const MAX_HOPS = 8
/** The oldest are forgotten first: a cycle longer than this is left to the hops. */
const MAX_PASSED = 64
/** What every way out has room for: the signed text in a header, in Lambda's client context (3,583 bytes of base64), in a mail. */
const MAX_SIGNED = 2048
const MAC_CHARS = 43
const MAX_JSON_BYTES = Math.floor(((MAX_SIGNED - 'v1..'.length - MAC_CHARS) * 3) / 4)

export const newLineage = (runId: string): Lineage => ({ origin: runId, passed: [], hops: 0 })

export const passing = (l: Lineage, ...what: readonly Passed[]): Lineage =>
  what.length === 0 ? l : { ...l, passed: [...l.passed, ...what].slice(-MAX_PASSED) }

/** It has come back: as a request from outside, or as an action that a chain dispatches. */
export const nextHop = (l: Lineage): Lineage => ({ ...l, hops: l.hops + 1 })

/** The way round, if this step has been taken before: from that time to this, both named. */
export function cycleOf(l: Lineage, step: Passed): readonly Passed[] | undefined {
  const at = l.passed.lastIndexOf(step)
  return at < 0 ? undefined : [...l.passed.slice(at), step]
}

/** Of two that meet in one action; the first where they are alike. */
export function longer(a: Lineage | undefined, b: Lineage | undefined): Lineage | undefined {
  if (!a || !b) return a ?? b
  if (a.hops !== b.hops) return a.hops > b.hops ? a : b
  return b.passed.length > a.passed.length ? b : a
}

/** Signs what leaves, and reads what comes in. */
export interface LineageSigner {
  /** `v1.<base64url JSON>.<base64url HMAC-SHA256>`, at most 2,048 characters; the oldest steps are left out of one that would be longer. */
  sign(l: Lineage): string
  /** Undefined: not signed by one of the secrets, or not a lineage. Never throws. */
  read(text: string): Lineage | undefined
}

/** `previous`: secrets that signed before; what they signed is still taken. */
export function lineageSigner(secret: string, previous: readonly string[] = []): LineageSigner {
  const mac = (key: string, signed: string) => createHmac('sha256', key).update(signed).digest('base64url')
  return {
    sign(l) {
      const signed = `v1.${Buffer.from(fitting(l)).toString('base64url')}`
      return `${signed}.${mac(secret, signed)}`
    },
    read(given) {
      if (given.length > 2 * MAX_SIGNED) return undefined
      // A mail folds a long one into lines.
      const text = given.replace(/\s+/g, '')
      if (text.length > MAX_SIGNED) return undefined
      const [, signed, body, code] = /^(v1\.([\w-]+))\.([\w-]{43})$/.exec(text) ?? []
      if (signed === undefined || body === undefined || code === undefined) return undefined
      const claimed = Buffer.from(code)
      if (![secret, ...previous].some((key) => timingSafeEqual(Buffer.from(mac(key, signed)), claimed)))
        return undefined
      return shaped(parsed(Buffer.from(body, 'base64url').toString('utf8')))
    },
  }
}

function fitting({ origin, passed, hops }: Lineage): string {
  for (let from = 0; ; from++) {
    const text = JSON.stringify({ origin, passed: passed.slice(from), hops })
    if (from >= passed.length || Buffer.byteLength(text) <= MAX_JSON_BYTES) return text
  }
}

function parsed(text: string): Json | undefined {
  try {
    return JSON.parse(text) as Json
  } catch {
    return undefined // signed by something else under the same secret
  }
}

function shaped(v: Json | undefined): Lineage | undefined {
  if (!isObject(v) || Object.keys(v).length !== 3) return undefined
  const [origin, passed, hops] = [own(v, 'origin'), own(v, 'passed'), own(v, 'hops')]
  if (typeof origin !== 'string' || origin.length === 0 || origin.length > 64) return undefined
  if (typeof hops !== 'number' || !Number.isSafeInteger(hops) || hops < 0) return undefined
  if (!Array.isArray(passed) || passed.length > MAX_PASSED || !passed.every(isPassed)) return undefined
  return { origin, passed, hops }
}
const isPassed = (v: Json): v is Passed => typeof v === 'string' && /^(rule|chain):./s.test(v)
