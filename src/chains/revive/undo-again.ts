import type { Scope } from '../../core/action.ts'
import { kinds } from '../../core/hold.ts'
import type { Op } from '../../core/state.ts'
import { LEASE_MS } from '../../delivery/lease.ts'
import { Turn } from '../decide/turn.ts'
import { undoneBy } from '../decide/undo.ts'
import { readRecord } from '../model/loaded.ts'
import { hasEnded, stepId } from '../model/run.ts'
import { putStep } from '../model/start.ts'
import type { Found } from './reopen-step.ts'
import { loaded, movedOn, putBack, type RevivalDeps } from './revival.ts'

/**
 * What could not be undone, once more, under another token: the dead letter of it was redriven. The execution stays what it is but
 * for that; it has given up its lock, and its parent is not told again. Throws Problem 409 `chain_moved_on`.
 */
export async function undoAgain(
  { state, env, owner, tools }: RevivalDeps,
  scope: Scope,
  { entry, run }: Found,
  { key, iteration }: { readonly key: string; readonly iteration: number },
  also: readonly Op[],
): Promise<void> {
  if (!hasEnded(run)) throw movedOn(`it is ${run.status}`)
  const id = stepId(run.id, key, iteration)
  const [found] = await state.get([{ kind: kinds.step, scope, id }])
  const record = found && readRecord(found.value)
  if (record?.undo !== 'failed') throw movedOn('nothing of it is left to be undone')
  const now = env.clock.now()
  const at = await loaded(state, scope, run, tools)
  const turn = new Turn(tools, at, now, { acting: new Set(), holds: true, resumed: new Set() })
  turn.say({ type: 'reopened', how: 'redriven', by: 'redrive', deadline: undoneBy(turn), undone: [], undo: true })
  turn.say({ type: 'step_entered', step: key, iteration, ...(record.prev && { prev: record.prev }), undo: true })
  const version = env.newId()
  const done = await state.commit(scope, [
    ...also,
    ...putBack(entry, turn, version, { claim: { owner, until: now + LEASE_MS } }),
    putStep(run.id, id, { ...record, undo: 'due' }, version),
  ])
  if (!done.ok) throw movedOn('it, or its letter, has changed meanwhile')
}
