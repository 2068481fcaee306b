import { StateTooLarge, StateUnavailable, StateUnknown } from '../../core/errors.ts'
import type { Committed, Op, Refused } from '../../core/state.ts'
import type { Answer } from '../batching.ts'
import type { Waiting as Patience } from './client.ts'

export interface Call {
  readonly ops: readonly Op[]
  readonly dry: boolean
}
interface Waiting extends Call {
  readonly patience: Pick<Patience, 'over'>
  readonly resolve: (done: Committed | Refused) => void
  readonly reject: (e: Error) => void
}
export interface Lanes {
  commit(scope: string, ops: readonly Op[], dry: boolean): Promise<Committed | Refused>
  /** Waits for what is under way; later calls are refused. */
  close(): Promise<void>
}

/** Ops that travel together: with more than fit into a transaction some only wait for the next. */
const OPS_AT_ONCE = 60

/**
 * One batch of a scope under way at a time: its commits come in order, do not get into each other's way, and grow into larger batches
 * with the load. Scopes do not wait for each other. `run` answers at least the first of the calls, and may leave some for later.
 *
 * Who has waited out his patience before his turn came is refused: where the table does not answer each batch takes all the time there
 * is, and many of them one after the other would keep their callers for minutes.
 */
export function openLanes(
  run: (scope: string, calls: readonly Call[]) => Promise<readonly Answer[]>,
  patience: () => Pick<Patience, 'over'>,
): Lanes {
  const lanes = new Map<string, Waiting[]>()
  const busy = new Set<Promise<void>>()
  let closed = false

  async function drive(scope: string, lane: Waiting[]): Promise<void> {
    await null // calls made together travel together
    for (;;) {
      while (lane[0]?.patience.over)
        lane.shift()!.reject(new StateUnavailable('DynamoDB does not do it: those before it have taken too long'))
      if (lane.length === 0) break
      let [calls, ops] = [1, lane[0]!.ops.length]
      while (calls < lane.length && ops + lane[calls]!.ops.length <= OPS_AT_ONCE) ops += lane[calls++]!.ops.length
      const answers = await run(scope, lane.slice(0, calls)).catch((e: unknown): Answer[] =>
        Array.from({ length: calls }, () => [2, e instanceof Error ? e.message : String(e)]),
      )
      for (const [i, waiting] of lane.splice(0, answers.length).entries()) settle(waiting, answers[i]!)
    }
    lanes.delete(scope)
  }

  return {
    commit: (scope, ops, dry) =>
      new Promise((resolve, reject) => {
        if (closed) return reject(new StateUnavailable('the store is closed'))
        let lane = lanes.get(scope)
        const waiting = { ops, dry, patience: patience(), resolve, reject }
        if (lane !== undefined) return void lane.push(waiting)
        lane = [waiting]
        lanes.set(scope, lane)
        const driven = drive(scope, lane).finally(() => busy.delete(driven))
        busy.add(driven)
      }),
    async close() {
      closed = true
      await Promise.all(busy)
    },
  }
}

function settle(w: Waiting, [kind, value]: Answer): void {
  if (kind === 0) w.resolve(value as Committed | Refused)
  else if (kind === 1) w.reject(new StateUnavailable(value as string))
  else if (kind === 2) w.reject(new StateUnknown(value as string))
  else w.reject(new StateTooLarge(value as string))
}
