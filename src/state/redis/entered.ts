import type { AuditRow, InOutbox } from '../../core/audit.ts'
import type { Commit } from './ops.ts'
import { fromText, scopeOfLine } from './text.ts'

/** Of each entry of the outbox that a script came to: scope, id, how many records. No id: it stood there already, with all of them. */
export type Entered = readonly (string | number)[]

/** Those it has made, with their records: of a scope in the order of the commits that were done, each once, as the script has taken them (lua/outbox.ts). */
export function inOutbox(done: readonly Commit[], entered: Entered, dueAt: number): InOutbox[] {
  const left = new Map([...Map.groupBy(done, (c) => c.scope)].map(([scope, commits]) => [scope, recorded(commits)]))
  const made: InOutbox[] = []
  for (let i = 0; i < entered.length; i += 3) {
    const line = String(entered[i])
    const rows = left.get(line)!.splice(0, Number(entered[i + 2]))
    const id = fromText(String(entered[i + 1]))
    if (id !== '') made.push({ scope: scopeOfLine(line), id, dueAt, rows })
  }
  return made
}

function recorded(commits: readonly Commit[]): AuditRow[] {
  const rows = new Map<string, AuditRow>()
  for (const { ops } of commits)
    for (const op of ops) if (op.op === 'record' && !rows.has(op.row.id)) rows.set(op.row.id, op.row)
  return [...rows.values()]
}
