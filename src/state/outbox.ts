import { outboxText } from '../core/audit.ts'
import { kinds } from '../core/hold.ts'
import type { Op } from '../core/state.ts'

/**
 * For an audit in another place than the state: a record becomes an entry in the same commit, due at once, and `drainOutbox`
 * (audit/) carries it over. At least once, and the same id twice is once.
 */
export const toOutbox =
  (now: () => number) =>
  (op: Op): Op =>
    op.op !== 'record'
      ? op
      : {
          op: 'put',
          kind: kinds.auditOutbox,
          id: op.row.id,
          value: outboxText([op.row]),
          version: op.row.id,
          dueAt: now(),
          ifVersion: null,
          orSkip: true,
        }
