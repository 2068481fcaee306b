import type { AuditRow } from '../../core/audit.ts'
import { StateTooLarge } from '../../core/errors.ts'
import type { Committed, Op, Refused } from '../../core/state.ts'
import type { Answer } from '../batching.ts'
import { decide } from '../decide/ops/index.ts'
import { cellName, nameText } from './items.ts'
import type { Call } from './lanes.ts'
import { LARGEST_ENTRY, LARGEST_RECORD } from './largest.ts'
import { LARGEST_TRANSACTION, type Plan, planOf } from './plan.ts'
import { type Cell, type Read, Unread, View } from './view.ts'

/** What becomes of a batch, if what was read is still so when it is written. */
export interface Decided {
  readonly view: View
  /** One per call, in order; fewer where the rest has no room in this transaction. */
  readonly answers: Answer[]
  readonly plan: Plan
  /** Records, each once. */
  readonly rows: readonly AuditRow[]
  /** They have no room beside the rest: they go by the outbox. */
  readonly spilled: boolean
  /** By how much each counter may have grown since it was read. */
  readonly room: ReadonlyMap<string, number>
}
export interface Deciding {
  readonly scope: string
  readonly calls: readonly Call[]
  readonly read: Read
  readonly table: string
  /** Of this attempt: nothing was ever written under it. */
  readonly stamp: string
  readonly now: number
  readonly number: () => number
  /** Records known to be there already. */
  readonly known: ReadonlySet<string>
}

const NOTHING: Plan = { items: [], bytes: 0 }
/** A place for what else goes with records. */
const BESIDE_ROWS = 1

/**
 * Decides the calls one after another, each on what those before it have changed. Throws Unread where it needs more. An answer may be
 * given only when what the calls before it have changed is durable.
 */
export function decideAll({ scope, calls, read, table, stamp, now, number, known }: Deciding): Decided {
  let generations = 0
  const view = new View(read, () => `${stamp}/${++generations}`, number)
  const answers: Answer[] = []
  const room = new Map<string, number>()
  let checked: ReadonlySet<Cell<unknown>> = new Set()
  let plan = NOTHING
  let rows: readonly AuditRow[] = []
  let spilled = false

  for (const { ops, dry } of calls) {
    if (spilled) break
    view.looked.clear()
    let done: Committed | Refused
    let next: { plan: Plan; rows: AuditRow[]; checked: Set<Cell<unknown>> }
    try {
      done = decide(view, scope, ops, now)
      if (dry || !done.ok) {
        view.undo.back()
        answers.push([0, done])
        continue
      }
      const looked = new Set([...checked, ...view.looked])
      next = { checked: looked, plan: planOf(view, looked, { table, stamp, now }), rows: distinct(view.rows, known) }
    } catch (e) {
      view.undo.back()
      if (e instanceof Unread) throw e
      answers.push([e instanceof StateTooLarge ? 3 : 1, e instanceof Error ? e.message : String(e)])
      continue
    }
    const begun = plan.items.length + rows.length > 0
    if (!fits(next.plan, next.rows)) {
      if (begun) {
        view.undo.back()
        break
      }
      if (!fits(next.plan, [])) {
        view.undo.back()
        answers.push([3, tooMuch(next.plan)])
        continue
      }
      spilled = true
    }
    view.undo.keep()
    ;({ plan, rows, checked } = next)
    narrow(room, scope, ops, done)
    answers.push([0, done])
  }
  return { view, answers, plan, rows, spilled, room }
}

const fits = (plan: Plan, rows: readonly AuditRow[]): boolean =>
  plan.items.length + rows.length + (rows.length > 0 ? BESIDE_ROWS : 0) <= LARGEST_TRANSACTION.items &&
  rows.reduce((bytes, r) => bytes + 3 * r.json.length, plan.bytes) <= LARGEST_TRANSACTION.bytes

const tooMuch = ({ items, bytes }: Plan): string =>
  `a commit of ${items.length} items and ${Math.ceil(bytes / 1024)} KB; DynamoDB takes ${LARGEST_TRANSACTION.items} and ${LARGEST_TRANSACTION.bytes / 1000} KB at once`

export const rowText = (row: AuditRow): string => JSON.stringify([row.scope, row.id])
/** Throws StateTooLarge. */
export function mustFit({ json }: AuditRow): void {
  const bytes = Buffer.byteLength(json)
  if (bytes > LARGEST_RECORD)
    throw new StateTooLarge(
      `a record of ${Math.ceil(bytes / 1024)} KB; DynamoDB keeps up to ${LARGEST_ENTRY / 1024} KB`,
    )
}
function distinct(rows: readonly AuditRow[], known: ReadonlySet<string>): AuditRow[] {
  const first = new Map<string, AuditRow>()
  for (const row of rows) {
    mustFit(row)
    const key = rowText(row)
    if (!known.has(key) && !first.has(key)) first.set(key, row)
  }
  return [...first.values()]
}

/** A counter with a limit may have grown since it was read only by so much that the limit still holds. */
function narrow(room: Map<string, number>, scope: string, ops: readonly Op[], { results }: Committed): void {
  for (const [i, op] of ops.entries()) {
    if (op.op !== 'count' || op.limit === undefined) continue
    const key = nameText(cellName('counter', scope, op.id))
    room.set(key, Math.min(room.get(key) ?? Number.POSITIVE_INFINITY, op.limit - (results[i]?.n ?? 0)))
  }
}

/**
 * Whether a limit refuses for a count made since `since`: it may be of a commit that is still on its way to its transaction, and is taken
 * back where that is refused.
 */
export function inDoubt({ view, answers }: Decided, scope: string, calls: readonly Call[], since: number): boolean {
  return answers.some(([kind, value], i) => {
    const done = value as Committed | Refused
    if (kind !== 0 || done.ok) return false
    const op = calls[i]!.ops[done.at]
    if (op?.op !== 'count') return false
    const counted = view.counterCells.get(nameText(cellName('counter', scope, op.id)))?.was?.['ct']?.N
    return counted !== undefined && Number(counted) > since
  })
}

/** Counters say in their answers how far others had counted meanwhile. */
export function withCounts(
  decided: Decided,
  scope: string,
  calls: readonly Call[],
  more: ReadonlyMap<string, number>,
): Answer[] {
  if (more.size === 0) return decided.answers
  return decided.answers.map((answer, i): Answer => {
    const done = answer[1] as Committed | Refused
    if (answer[0] !== 0 || !done.ok || calls[i]?.dry) return answer
    const results = done.results.map((r, at) => {
      const op = calls[i]!.ops[at]!
      const by = op.op === 'count' ? more.get(nameText(cellName('counter', scope, op.id))) : undefined
      return by === undefined || r.n === undefined ? r : { ...r, n: r.n + by }
    })
    return [0, { ok: true, results }]
  })
}
