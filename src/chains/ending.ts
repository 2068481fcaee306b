import { kinds } from '../core/hold.ts'
import type { Op } from '../core/state.ts'
import { type CancelRequest, type ChildEnd, cancelId, childEndId, type Run, type StepResult } from './run.ts'

/** What an execution gives back: the result of its last step, and its own failure as the parent step's. */
export function resultOfRun(run: Run, last: StepResult | undefined): StepResult {
  if (run.status === 'completed' && last) return last
  const error = run.error ?? { code: run.status, message: `the sub-chain ended ${run.status}` }
  return { success: false, fallback: false, status: last?.status ?? null, body: null, error }
}

/** What the end of an execution leaves for others, in the commit that ends it. */
export function endingOps(
  run: Run,
  last: StepResult | undefined,
  opts: {
    /** The child it was waiting for; with its parent gone it ends too. */
    readonly child: string | undefined
    /** The parent asked for this end and has ended itself. */
    readonly byParent: boolean
    readonly newId: () => string
    readonly now: number
  },
): readonly Op[] {
  const ops: Op[] = []
  const { newId } = opts
  if (opts.child !== undefined) {
    const request: CancelRequest = { by: 'gateway', at: opts.now, fromParent: true }
    ops.push(
      {
        op: 'put',
        kind: kinds.inbox,
        id: cancelId(opts.child),
        value: JSON.stringify(request),
        version: newId(),
      },
      { op: 'wake', kind: kinds.run, id: opts.child },
    )
  }
  if (run.parent && !opts.byParent) {
    const { id, step, iteration } = run.parent
    const message: ChildEnd = { result: resultOfRun(run, last) }
    ops.push(
      {
        op: 'put',
        kind: kinds.inbox,
        id: childEndId(id, step, iteration),
        value: JSON.stringify(message),
        version: newId(),
      },
      { op: 'wake', kind: kinds.run, id },
    )
  }
  return ops
}
