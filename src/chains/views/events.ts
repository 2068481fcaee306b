import { isoTime } from '../../core/clock.ts'
import type { JsonObject } from '../../core/json.ts'
import type { Begins, ChainEvent, Happening } from '../model/happening.ts'
import type { Cause, Run } from '../model/run.ts'
import type { Names } from './names.ts'

/**
 * An event of the history in wire names and times; what only the fold needs is left out. `names`: what the execution is found by, as
 * it may be shown. Not yet redacted.
 */
export function eventView({ at, ...event }: ChainEvent, names: Names): JsonObject {
  return { at: isoTime(at), type: event.type, ...about(event, names) }
}

function about(e: Happening, names: Names): JsonObject {
  switch (e.type) {
    case 'started':
      return startedView(e.run, names)
    case 'began':
    case 'compensating':
      return { expires_at: isoTime(e.deadline) }
    case 'step_entered':
      return {
        step: e.step,
        iteration: e.iteration,
        ...(e.prev && { prev: { step: e.prev.step, iteration: e.prev.iteration } }),
        ...moment('not_before', e.not_before),
        ...(e.undo && { undo: true }),
        ...moment('expires_at', e.deadline),
      }
    case 'step_attempted':
      return { step: e.step, attempt: e.attempt, ...beginsView(e) }
    case 'step_backed_off':
      return {
        step: e.step,
        not_before: isoTime(e.not_before),
        ...(e.code !== undefined && { code: e.code }),
        ...(e.unmade && { attempt_made: false }),
      }
    case 'step_ended':
      return {
        step: e.step,
        iteration: e.iteration,
        success: e.success,
        ...(e.code !== undefined && { code: e.code }),
        ...(e.tolerated && { tolerated: true }),
        ...(e.next !== undefined && { next: e.next }),
        ...(e.undo && { undo: true }),
      }
    case 'group_stopped':
      return { step: e.step, why: e.why }
    case 'step_stopping':
    case 'step_dropped':
      return { step: e.step }
    case 'signalled':
      return { step: e.step, signal: e.signal, by: e.by }
    case 'paused':
      return { by: e.by }
    case 'unpaused':
      return { by: e.by, expires_at: isoTime(e.deadline) }
    case 'stopping':
      return causeView(e.cause)
    case 'ended':
      return { status: e.status, ...(e.error && { error: e.error }), ...(e.by !== undefined && { by: e.by }) }
    case 'reopened':
      return {
        how: e.how,
        by: e.by,
        expires_at: isoTime(e.deadline),
        ...(e.undone.length > 0 && { steps: e.undone }),
        ...(e.undo && { undo: true }),
      }
  }
}

const moment = (name: string, at: number | undefined): JsonObject => (at === undefined ? {} : { [name]: isoTime(at) })

const startedView = (run: Omit<Run, 'seq'>, { entity, attributes }: Names): JsonObject => ({
  chain_name: run.chain,
  definition_version: run.version,
  action_id: run.actionId,
  run_id: run.runId,
  ...(run.rule !== undefined && { rule: run.rule }),
  ...(run.parent && { parent_chain_id: run.parent.id, parent_step: run.parent.step }),
  ...(entity !== undefined && { entity }),
  ...(attributes && { attributes }),
  priority: run.priority,
  total_steps: run.totalSteps,
  timeout_seconds: run.timeoutMs / 1000,
})

const beginsView = (e: Begins): JsonObject => ({
  ...(e.child !== undefined && { child_chain_id: e.child }),
  ...moment('waits_until', e.until),
  ...(e.signal !== undefined && { waits_for_signal: e.signal }),
  ...(e.members !== undefined && { members: e.members }),
  ...(e.redo && { redo: e.redo }),
})

const causeView = ({ status, error, by, step, fromParent }: Cause): JsonObject => ({
  status,
  ...(step !== undefined && { step }),
  ...(error && { error }),
  ...(by !== undefined && { by }),
  ...(fromParent && { from_parent: true }),
})
