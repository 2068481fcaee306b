import type { Scope } from '../../core/action.ts'
import { kinds } from '../../core/hold.ts'
import type { StateStore } from '../../core/state.ts'
import type { ChainEvent } from './happening.ts'
import type { Ref } from './run.ts'

export interface HistoryEntry {
  readonly seq: number
  readonly events: readonly ChainEvent[]
}

/** The history of an execution, commit by commit, in bounded pages. */
export async function* readHistory(
  state: StateStore,
  scope: Scope,
  runId: string,
  from = 0,
): AsyncGenerator<HistoryEntry> {
  const prefix = `${runId}/`
  for (
    let after: string | undefined = from === 0 ? prefix : `${prefix}${String(from - 1).padStart(7, '0')}`;
    after !== undefined;
  ) {
    const page = await state.list(kinds.history, scope, { limit: 200, after })
    after = page.next
    for (const entry of page.entries) {
      if (!entry.key.id.startsWith(prefix)) return
      yield {
        seq: Number(entry.key.id.slice(prefix.length)),
        events: JSON.parse(entry.value) as readonly ChainEvent[],
      }
    }
  }
}

/** Whose result was the step's `prev` when it was last entered. */
export async function prevOf(state: StateStore, scope: Scope, runId: string, step: string): Promise<Ref | undefined> {
  let prev: Ref | undefined
  for await (const { events } of readHistory(state, scope, runId))
    for (const e of events) if (e.type === 'step_entered' && e.step === step && !e.undo) prev = e.prev
  return prev
}
