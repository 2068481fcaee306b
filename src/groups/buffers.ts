import type { Scope } from '../core/action.ts'
import type { Peeked, StateStore } from '../core/state.ts'

/** Buffers whose events are read at once: each may have megabytes. */
const AT_ONCE = 20

/** Open buffers by their ids, in that order, some at a time; those that are empty meanwhile are left out. */
export async function* peekBuffers(
  state: Pick<StateStore, 'peek'>,
  scope: Scope,
  ids: readonly string[],
): AsyncGenerator<{ readonly last: string; readonly buffers: readonly (readonly [id: string, buffer: Peeked])[] }> {
  for (let at = 0; at < ids.length; at += AT_ONCE) {
    const some = ids.slice(at, at + AT_ONCE)
    const peeked = await state.peek('buffer', scope, some)
    yield {
      last: some.at(-1)!,
      buffers: some.flatMap((id, i) => (peeked[i] && peeked[i].n > 0 ? [[id, peeked[i]] as const] : [])),
    }
  }
}
