import type { Committed, Entry, Op, OpResult, Refused } from '../../core/state.ts'
import type { Commit } from './ops.ts'
import { entryOf } from './rows.ts'
import { fromText, scopeOfLine } from './text.ts'

/** Of one commit: its results as text; with them the ids sealed; or what the op that refused saw. */
export type Reply = string | readonly [results: string, ...sealed: string[]]

const DONE: OpResult = Object.freeze({})
const SKIPPED: OpResult = Object.freeze({ skipped: true })

export function commitAnswer(commit: Commit, reply: Reply, now: number): Committed | Refused {
  const [text, ...rest] = typeof reply === 'string' ? [reply] : reply
  if (text.startsWith('!')) return refusal(commit, Number(text.slice(1)), rest, now)
  const left = rest.map(fromText)
  const take = (n: number): Pick<OpResult, 'sealed'> => (n === 0 ? {} : { sealed: left.splice(0, n) })
  const results = text === '' ? [] : text.split(',').map((t) => result(t, take))
  return { ok: true, results }
}

function result(text: string, take: (n: number) => Pick<OpResult, 'sealed'>): OpResult {
  const rest = text.slice(1)
  switch (text[0]) {
    case '.':
      return DONE
    case 's':
      return SKIPPED
    case 'n':
      return { n: Number(rest) }
    case 'c':
      return { claimNumber: Number(rest) }
    case 'z': {
      const [n, sealed] = rest.split(' ')
      return { n: Number(n), ...take(Number(sealed)) }
    }
    case 'b': {
      const [n, dueAt, skipped, sealed] = rest.split(' ')
      return { n: Number(n), dueAt: Number(dueAt), ...(skipped === '1' && SKIPPED), ...take(Number(sealed ?? 0)) }
    }
    default:
      throw new TypeError(`no result: ${text}`)
  }
}

function refusal({ scope, ops }: Commit, at: number, [n, retryAt, row]: readonly string[], now: number): Refused {
  const saw = row ? seen(ops[at], scope, row, now) : undefined
  return {
    ok: false,
    at,
    ...(n && { n: Number(n) }),
    ...(retryAt && { retryAt: Number(retryAt) }),
    ...(saw && { saw }),
  }
}
function seen(op: Op | undefined, scope: string, row: string, now: number): Entry | undefined {
  if (op === undefined || !('kind' in op)) return undefined
  return entryOf(op.kind, scopeOfLine(scope), op.id, row, now)
}
