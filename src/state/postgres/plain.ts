import type { Committed, Op, OpResult } from '../../core/state.ts'
import { lockOf } from './locks.ts'
import type { Call } from './wire.ts'

/** Ops of plain commits by their kind, as `run_plain` takes them. */
const lists = { put: 'puts', delete: 'deletes', count: 'counts', admit: 'admits', record: 'records' } as const
type PlainKind = keyof typeof lists
type PlainOp = Extract<Op, { op: PlainKind }>

/** A commit of a batch, and what it becomes on its way. */
export interface Ready {
  readonly scope: string
  readonly ops: readonly Op[]
  readonly call: Call
}
/** Its op is this one of the list of its kind. */
type Ref = readonly [kind: PlainKind, at: number]
interface Plain {
  readonly refs: readonly Ref[]
}

/** A batch on its way: commits that are decided all at once, and those that are taken op by op. */
export interface Packed {
  readonly calls: readonly (Call | { readonly scope: string; readonly refs: readonly Ref[] })[]
  readonly lists: { readonly [K in PlainKind]: readonly object[] }
  /** Numbers of claims that are wanted for plain commits. */
  readonly tickets: number
  /** Places of the calls taken op by op. */
  readonly slow: readonly number[]
  readonly plain: readonly (Plain | undefined)[]
}

/**
 * Plain is a commit whose every op only adds, or deletes what it has claimed, if nobody before it in the batch has to do with what it
 * reads: so all of them can be decided at once, and before the others.
 */
function isPlainOp(op: Op): op is PlainOp {
  switch (op.op) {
    case 'put':
      return op.ifVersion === null && op.ifClaim === undefined && !op.orSkip
    case 'delete':
      return op.ifClaim !== undefined && op.ifVersion === undefined && !op.ifUnclaimed && !op.orSkip
    case 'count':
      return op.by > 0
    case 'admit':
    case 'record':
      return true
    default:
      return false
  }
}
const ofEntry = (op: Op): boolean => op.op === 'put' || op.op === 'delete'

export function pack(batch: readonly Ready[]): Packed {
  const by: { readonly [K in PlainKind]: object[] } = { put: [], delete: [], count: [], admit: [], record: [] }
  const taken = new Set<number>()
  const entries = new Set<number>()
  const calls: Packed['calls'][number][] = []
  const plain: (Plain | undefined)[] = []
  const slow: number[] = []
  let tickets = 0
  for (const [c, { scope, ops, call }] of batch.entries()) {
    const locks = ops.map((op) => lockOf(scope, op))
    const own = locks.filter((_, i) => ofEntry(ops[i]!))
    const free =
      ops.length > 0 &&
      call.dry === undefined &&
      call.topic === undefined &&
      ops.every(isPlainOp) &&
      new Set(own).size === own.length &&
      !locks.some((l) => taken.has(l)) &&
      !own.some((l) => entries.has(l))
    if (!free) {
      for (const l of locks) taken.add(l)
      plain.push(undefined)
      slow.push(c)
      calls.push(call)
      continue
    }
    for (const l of own) entries.add(l)
    const refs = ops.map((op, i): Ref => {
      const kind = (op as PlainOp).op
      const ticket = op.op === 'put' && op.claim !== undefined ? { ticket: ++tickets } : {}
      return [kind, by[kind].push({ ...call.ops[i], c, s: call.scope, ...ticket }) - 1]
    })
    plain.push({ refs })
    calls.push({ scope: call.scope, refs })
  }
  return { calls, lists: by, tickets, slow, plain }
}

/** What `run_plain` answers: what there was of each counter and window before, and the numbers it gave. */
export interface Done {
  readonly bad: readonly number[]
  readonly counted: readonly number[] | null
  readonly admitted: readonly number[] | null
  readonly numbers: readonly number[] | null
}

/** Answers of the plain commits that were done, as if they had been one after the other; undefined for the others. */
export function plainAnswers(batch: readonly Ready[], packed: Packed, done: Done): (Committed | undefined)[] {
  const bad = new Set(done.bad)
  const added = new Map<number, number>()
  let tickets = 0
  return batch.map(({ scope, ops }, c) => {
    const refs = packed.plain[c]?.refs
    if (refs === undefined) return undefined
    const isDone = !bad.has(c)
    const results = ops.map((op, i): OpResult => {
      if (op.op === 'put' && op.claim !== undefined) return { claimNumber: done.numbers![tickets++]! }
      if (op.op !== 'count' && op.op !== 'admit') return {}
      if (!isDone) return {}
      const lock = lockOf(scope, op)
      const more = (added.get(lock) ?? 0) + (op.op === 'count' ? op.by : 1)
      added.set(lock, more)
      const before = (op.op === 'count' ? done.counted : done.admitted)![refs[i]![1]]!
      return { n: before + more }
    })
    return isDone ? { ok: true, results } : undefined
  })
}
