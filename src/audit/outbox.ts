import type { AuditRow, AuditRows } from '../core/audit.ts'
import { kinds } from '../core/hold.ts'
import type { StateStore } from '../core/state.ts'

const LEASE_MS = 30_000
const BATCH = 500

/**
 * Carries records over from the outbox that a state store opened with `auditElsewhere` fills; answers how many. Safe to run on
 * several nodes, and again after a crash: a record leaves the outbox only when the audit has it.
 */
export async function drainOutbox(state: StateStore, audit: Pick<AuditRows, 'append'>, owner: string): Promise<number> {
  let carried = 0
  for (;;) {
    const entries = await state.claim(kinds.auditOutbox, { owner, leaseMs: LEASE_MS, limit: BATCH })
    if (entries.length === 0) return carried
    const rows = entries.flatMap((e) => JSON.parse(e.value) as AuditRow | AuditRow[])
    await audit.append(rows)
    await Promise.all(
      entries.map(({ key, claim }) =>
        state.commit(key.scope, [
          {
            op: 'delete',
            kind: kinds.auditOutbox,
            id: key.id,
            ifClaim: { owner: claim.owner, number: claim.number },
            orSkip: true,
          },
        ]),
      ),
    )
    carried += rows.length
  }
}
