import type { Control, ControlWrite, StateStore } from '../core/state.ts'
import type { Streams } from '../http/stream/streams.ts'
import type { Stores } from './stores.ts'

/** The store, and the way to an audit elsewhere, that tell the streams of what they have recorded: where anybody looks. */
export function recording(
  { state, carryAudit }: Pick<Stores, 'state' | 'carryAudit'>,
  streams: Pick<Streams, 'followed' | 'recorded'>,
): Pick<Stores, 'state' | 'carryAudit'> {
  const { recorded } = streams
  /** Told of a lost answer too: it may be done. */
  function after<T>(done: Promise<T>): Promise<T> {
    done.then(recorded, recorded)
    return done
  }
  const telling = (control: Control): Control => {
    const write = (act: () => Promise<boolean>, w?: ControlWrite): Promise<boolean> =>
      streams.followed && w?.record !== undefined ? after(act()) : act()
    return {
      ...control,
      put: (id, value, w) => write(() => control.put(id, value, w), w),
      delete: (id, w) => write(() => control.delete(id, w), w),
    }
  }
  const told: StateStore = {
    ...state,
    commit: (scope, ops, opts) =>
      streams.followed && ops.some((o) => o.op === 'record')
        ? after(state.commit(scope, ops, opts))
        : state.commit(scope, ops, opts),
    control: async (topic) => telling(await state.control(topic)),
  }
  return {
    state: told,
    async carryAudit(owner, enough, last) {
      let carried: number | undefined
      try {
        carried = await carryAudit(owner, enough, last)
        return carried
      } finally {
        // Where it failed some may be there.
        if (carried !== 0) recorded()
      }
    },
  }
}
