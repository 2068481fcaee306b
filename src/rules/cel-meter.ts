import type { ASTNode, Environment } from '@marcbachmann/cel-js'
import { children } from './cel-reads.ts'

/**
 * What one evaluation may spend, whatever it is made of: one unit is about a tenth of a microsecond of work, so all of them are some
 * tens of milliseconds, in which nothing else of the process moves. Spent are: each value looked at, each step of a comprehension by
 * the size of what it computes, text by its length, and what fails. The same data always spends the same.
 */
const BUDGET = 400_000
/** Characters of text that are gone through in the time of a unit. */
const TEXT_PER_UNIT = 16
/** The library writes a message with the line at fault for each error, also for those that `all`, `exists`, `||` and `&&` then drop. */
const FAILURE = 200

export interface Meter {
  /** Begins an evaluation. `length` is that of the expression. */
  reset(length: number): void
  /** Throws once all is spent. */
  spend(units: number): void
  text(length: number): void
  /** Something was not computed for want of units; what the expression says then is worth nothing. */
  readonly over: boolean
  /** Before a part whose error is dropped, with `done` after it: what has begun and is never done has failed. False once all is spent. */
  begin(weight: number): boolean
  done<T>(value: T): T
}

/** An error of ours: like all that people may read, it quotes nothing that came from data. */
export class Failure extends Error {}
/** Made once: most of what an error costs is finding out where it happened. */
const OVER = new Failure('the data is too large for an expression')

export function meter(): Meter {
  let left = BUDGET
  let open = 0
  let most = 0
  let failure = FAILURE
  const spend = (units: number): void => {
    left -= units
    if (left < 0) throw OVER
  }
  return {
    reset(length) {
      left = BUDGET
      open = 0
      most = 0
      failure = FAILURE + (length >> 3)
    },
    spend,
    text(length) {
      if (length >= TEXT_PER_UNIT) spend(length / TEXT_PER_UNIT)
    },
    get over() {
      return left < 0
    },
    begin(weight) {
      if (++open > most) {
        most = open
        left -= failure
      }
      left -= weight
      return left >= 0
    },
    done(value) {
      open--
      return value
    },
  }
}

/** A call that asks the calendar of a time zone goes through text both ways. */
const ZONED = 700
/** What one go through a part of an expression costs, apart from the data it meets. */
export function weightOf(n: ASTNode): number {
  let weight = 1
  if (n.op === 'value' && typeof n.args === 'string') weight += n.args.length / TEXT_PER_UNIT
  if (n.op === 'call') weight += 4
  if (n.op === 'rcall' && /^get[A-Z]/.test(n.args[0]) && n.args[2].length > 0) weight += ZONED
  for (const c of children(n)) weight += weightOf(c)
  return Math.ceil(weight)
}

/** Methods that may do more than their operands' length says; each runs under the name of `meteredName`. */
const SEARCHES = ['contains', 'indexOf', 'lastIndexOf', 'split', 'join']
export const meteredName = (method: string): string => (SEARCHES.includes(method) ? `signalbox_${method}` : method)

/** Beyond this length the engine's search is no longer linear in the text, at worst. */
const LONG_PATTERN = 250

export function registerMetered(e: Environment, m: Meter): void {
  /** For a search from the front. */
  const search = (text: string, wanted: string): void => {
    m.text(text.length)
    if (wanted.length > LONG_PATTERN) m.spend((text.length * wanted.length) / LONG_PATTERN)
  }
  /** The engine compares at every place, from the back. */
  const searchBack = (text: string, wanted: string): void => m.text(text.length * (1 + wanted.length))
  const within = (text: string, wanted: string, from: bigint, find: (at: number) => number): bigint => {
    if (wanted === '') return from
    const at = Number(from)
    if (at < 0 || at >= text.length) throw new Failure('the index is out of range')
    return BigInt(find(at))
  }
  const split = (text: string, by: string): string[] => {
    search(text, by)
    // A part is dearer than a character, and without a separator there is one for each.
    const parts = text.split(by, BUDGET + 1)
    m.spend(parts.length)
    return parts
  }
  const join = (list: readonly unknown[], by = ''): string => {
    let length = list.length * by.length
    for (const text of list) {
      if (typeof text !== 'string') throw new Failure('join() takes a list of text')
      length += text.length
    }
    m.spend(list.length)
    m.text(length)
    return list.join(by)
  }
  e.registerFunction('string.signalbox_contains(string): bool', (t: string, w: string) => {
    search(t, w)
    return t.includes(w)
  })
  e.registerFunction('string.signalbox_indexOf(string): int', (t: string, w: string) => {
    search(t, w)
    return BigInt(t.indexOf(w))
  })
  e.registerFunction('string.signalbox_indexOf(string, int): int', (t: string, w: string, from: bigint) => {
    search(t, w)
    return within(t, w, from, (at) => t.indexOf(w, at))
  })
  e.registerFunction('string.signalbox_lastIndexOf(string): int', (t: string, w: string) => {
    searchBack(t, w)
    return BigInt(t.lastIndexOf(w))
  })
  e.registerFunction('string.signalbox_lastIndexOf(string, int): int', (t: string, w: string, from: bigint) => {
    searchBack(t, w)
    return within(t, w, from, (at) => t.lastIndexOf(w, at))
  })
  e.registerFunction('string.signalbox_split(string): list<string>', split)
  e.registerFunction('string.signalbox_split(string, int): list<string>', (t: string, by: string, n: bigint) => {
    const parts = split(t, by)
    const most = Number(n)
    if (most === 0) return []
    return most < 0 || parts.length <= most ? parts : [...parts.slice(0, most - 1), parts.slice(most - 1).join(by)]
  })
  e.registerFunction('list<string>.signalbox_join(): string', join)
  e.registerFunction('list<string>.signalbox_join(string): string', join)
}
