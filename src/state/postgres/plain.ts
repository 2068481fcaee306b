import type { Committed, Op, OpResult } from '../../core/state.ts'
import { lockOf } from './locks.ts'
import type { Call } from './wire.ts'

/** Ops of plain commits by their kind, as `commit_plain` takes them; a put of what must be there with a version replaces it. */
type PlainKind = 'put' | 'replace' | 'delete' | 'count' | 'admit' | 'record'

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
 * Plain is a commit whose every op only adds, replaces a version, or deletes what it has claimed, if nobody before it in the batch has to do with what it
 * reads: so all of them can be decided at once, and before the others.
 */
function plainKind(op: Op): PlainKind | undefined {
  switch (op.op) {
    case 'put':
      if (op.ifClaim !== undefined || op.ifVersion === undefined) return undefined
      if (op.ifVersion === null) return op.orSkip ? undefined : 'put'
      return op.claim === undefined && (op.tags?.length ?? 0) === 0 ? 'replace' : undefined
    case 'delete':
      return op.ifClaim && op.ifVersion === undefined && !op.ifUnclaimed && !op.orSkip ? 'delete' : undefined
    case 'count':
      return op.by > 0 ? 'count' : undefined
    case 'admit':
    case 'record':
      return op.op
    default:
      return undefined
  }
}
const ofEntry = (op: Op): boolean => op.op === 'put' || op.op === 'delete'

export function pack(batch: readonly Ready[]): Packed {
  const by: { readonly [K in PlainKind]: object[] } = {
    put: [],
    replace: [],
    delete: [],
    count: [],
    admit: [],
    record: [],
  }
  const taken = new Set<number>()
  const entries = new Set<number>()
  const calls: Packed['calls'][number][] = []
  const plain: (Plain | undefined)[] = []
  const slow: number[] = []
  let tickets = 0
  for (const [c, { scope, ops, call }] of batch.entries()) {
    const locks = ops.map((op) => lockOf(scope, op))
    const plainKinds = ops.map(plainKind)
    const own = locks.filter((_, i) => ofEntry(ops[i]!))
    const free =
      ops.length > 0 &&
      call.dry === undefined &&
      call.topic === undefined &&
      plainKinds.every((k) => k !== undefined) &&
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
      const kind = plainKinds[i]!
      const ticket = op.op === 'put' && op.claim !== undefined ? { ticket: ++tickets } : {}
      return [kind, by[kind].push({ ...call.ops[i], c, s: call.scope, ...ticket }) - 1]
    })
    plain.push({ refs })
    calls.push({ scope: call.scope, refs })
  }
  return { calls, lists: by, tickets, slow, plain }
}

/** What `commit_plain` answers: what there was of each counter and window before, and the numbers it gave. */
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
