import { type Json, own, setOwn } from '../core/json.ts'
import { Failure, type Meter } from './cel-meter.ts'

/** Values on their way into an expression and out of it; each is paid for as it is looked at. */

/** What a key of a mapping costs beside its value. */
const PER_KEY = 3

/** JSON as CEL has it: whole numbers are int (64 bits, here those a double holds exactly), the others double. */
export function convert(v: unknown, budget: Meter): unknown {
  budget.spend(1)
  if (typeof v === 'string') {
    budget.text(v.length)
    return v
  }
  if (typeof v === 'number') return Number.isSafeInteger(v) ? BigInt(v) : v
  if (Array.isArray(v)) return v.map((x: unknown) => convert(x, budget))
  if (v instanceof Map) return mapOf(v, budget)
  if (typeof v !== 'object' || v === null || !isPlain(v)) return v ?? null
  if (Object.hasOwn(v, 'constructor')) return mapOf(Object.entries(v), budget)
  const out: Record<string, unknown> = {}
  for (const k of Object.keys(v)) {
    budget.spend(PER_KEY)
    setOwn(out, k, convert(own(v, k), budget))
  }
  return out
}
/** The library tells what an object is by asking for its `constructor`: one that has such a key as data is given to it as a Map. */
export const shown = (v: unknown): unknown =>
  typeof v === 'object' && v !== null && Object.hasOwn(v, 'constructor') ? new Map(Object.entries(v)) : v

function mapOf(entries: Iterable<readonly [string, unknown]>, budget: Meter): ReadonlyMap<string, unknown> {
  const out = new Map<string, unknown>()
  for (const [k, x] of entries) {
    budget.spend(PER_KEY)
    out.set(k, convert(x, budget))
  }
  return out
}

/** What has been converted once and is looked at again under a name of its own. */
export function seen(v: unknown, budget: Meter): unknown {
  budget.spend(1)
  if (typeof v === 'string' || v instanceof Uint8Array) budget.text(v.length)
  else if (Array.isArray(v)) for (const x of v) seen(x, budget)
  else if (v instanceof Map) for (const x of v.values()) seen(x, budget)
  else if (typeof v === 'object' && v !== null && isPlain(v)) for (const k of Object.keys(v)) seen(own(v, k), budget)
  return v
}
const isPlain = (o: object): o is { readonly [k: string]: Json } => {
  const prototype: unknown = Object.getPrototypeOf(o)
  return prototype === Object.prototype || prototype === null
}

/** What CEL gave, as JSON has it: a moment as RFC 3339, a duration as its seconds. Throws for what JSON has not. */
export function toJson(v: unknown, budget: Meter): Json {
  budget.spend(1)
  if (v === null || v === undefined) return null
  if (typeof v === 'string' || typeof v === 'boolean') return v
  if (typeof v === 'number') return exact(v, Number.isFinite(v))
  if (typeof v === 'bigint') return exact(Number(v), Number.isSafeInteger(Number(v)))
  if (v instanceof Date) return v.toISOString()
  if (Array.isArray(v)) return v.map((x: unknown) => toJson(x, budget))
  if (v instanceof Map || (typeof v === 'object' && isPlain(v))) {
    const out: Record<string, Json> = {}
    for (const [k, x] of v instanceof Map ? v : Object.entries(v)) setOwn(out, String(k), toJson(x, budget))
    return out
  }
  // The library's own classes of unsigned integers and durations, which it does not export.
  const plain: unknown = v.valueOf()
  if (typeof plain === 'bigint') return toJson(plain, budget)
  if (typeof plain === 'number') return plain / 1000
  throw new Failure('the answer is nothing that JSON has')
}
function exact(n: number, ok: boolean): number {
  if (!ok) throw new Failure('the answer is no number that JSON holds exactly')
  return n
}
