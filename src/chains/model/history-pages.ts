import type { Scope } from '../../core/action.ts'
import { kinds } from '../../core/hold.ts'
import type { StateStore } from '../../core/state.ts'
import type { ChainEvent } from './happening.ts'
import { letsGoOn } from './history.ts'
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

/** Whose result was the step's `prev` when it was last entered, and of which entry its own last result is that others followed; -1: of none. */
export async function pastOf(
  state: StateStore,
  scope: Scope,
  runId: string,
  step: string,
): Promise<{ readonly prev: Ref | undefined; readonly own: number }> {
  let prev: Ref | undefined
  let own = -1
  for await (const { events } of readHistory(state, scope, runId))
    for (const e of events) {
      if (e.type === 'step_entered' && e.step === step && !e.undo) prev = e.prev
      if (e.type === 'step_ended' && e.step === step && !e.undo && letsGoOn(e)) own = e.iteration
    }
  return { prev, own }
}
