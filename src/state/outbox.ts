import { type HandOver, outboxText } from '../core/audit.ts'
import { kinds } from '../core/hold.ts'
import type { Op, StateStore } from '../core/state.ts'

export type Commit = StateStore['commit']

/**
 * For an audit in another place than the state: a record becomes an entry in the same commit, which is handed over. Where nobody takes
 * it, it is due at once, else some time later, and then `drainOutbox` (audit/) carries it. At least once, and the same id twice is once.
 */
export const throughOutbox =
  (now: () => number, handOver?: HandOver) =>
  (commit: Commit): Commit =>
  async (scope, ops, opts) => {
    if (!ops.some((op) => op.op === 'record')) return commit(scope, ops, opts)
    const dueAt = now() + (handOver?.aheadMs ?? 0)
    const entered = ops.map((op) => (op.op === 'record' ? entry(op, dueAt) : op))
    const answer = await commit(scope, entered, opts)
    if (handOver === undefined || !answer.ok || opts?.dry) return answer
    for (const [i, op] of ops.entries())
      if (op.op === 'record' && !answer.results[i]?.skipped)
        handOver.take({ scope, id: op.row.id, dueAt, rows: [op.row] })
    return answer
  }

const entry = ({ row }: Extract<Op, { op: 'record' }>, dueAt: number): Op => ({
  op: 'put',
  kind: kinds.auditOutbox,
  id: row.id,
  value: outboxText([row]),
  version: row.id,
  dueAt,
  ifVersion: null,
  orSkip: true,
})
