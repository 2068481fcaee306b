import { kinds } from '../core/hold.ts'
import { LEASE_MS, type Lease } from '../delivery/lease.ts'
import { endStep } from './advance.ts'
import type { Driver } from './driver.ts'
import type { Loaded } from './loaded.ts'
import { type StepRecord, stepId, type Task, undoId } from './run.ts'
import { putStep } from './start.ts'
import type { ActContext, Acted } from './step-kind.ts'
import { Turn } from './turn.ts'
import { endUndo } from './undo.ts'

/** What is being acted on at this moment, by key. */
export interface Flights {
  readonly flying: Map<string, Flight>
  /** Keys whose record an earlier claim stored: an attempt may have been made that nobody saw the end of. */
  readonly resumed: Set<string>
}
export interface Flight {
  /** Ends back-off at once; an attempt under way is let finish. */
  readonly stop: AbortController
  /** What its end does to the execution; or that the claim is lost; or what this node lacks. */
  readonly ended: Promise<((turn: Turn) => void) | 'lost' | { readonly lacks: string }>
}

/** Does what was stored for one open step, outside of any turn. */
export function flightOf(tools: Driver, at: Loaded, task: Task, lease: Lease, resuming: boolean): Flight {
  const stop = new AbortController()
  return { stop, ended: fly(tools, at, task, lease, resuming, stop.signal) }
}

async function fly(
  tools: Driver,
  at: Loaded,
  task: Task,
  lease: Lease,
  resuming: boolean,
  stopping: AbortSignal,
): ReturnType<() => Flight['ended']> {
  const { clock } = tools.env
  const step = at.chain.step(task.key)
  const turn = new Turn(tools, at, clock.now(), { acting: new Set(), holds: false, resumed: new Set() })
  const own = step.definition.timeout_seconds
  const begun = clock.now()
  const context: ActContext = {
    ...turn.context(task),
    record: at.records.get(task.key)!,
    clock,
    resuming,
    deadline: Math.min(
      at.run.deadline,
      begun + tools.stepDeadlineMs(),
      own === undefined || task.undo ? Number.POSITIVE_INFINITY : begun + own * 1000,
    ),
    once: task.undo === true || step.retry !== undefined,
    hooks: { lost: lease.lost, stopping },
    store: (record) => storeRecord(tools, at, task, lease, record),
    dispatch: tools.dispatch,
  }
  const acts = task.undo ? step.undo!.does.act : step.does.act!
  const acted = await acts(context)
  if (acted.kind === 'lost') return 'lost'
  if (acted.kind === 'lacks') return { lacks: acted.what }
  return (t) => land(t, task, acted)
}

function land(turn: Turn, task: Task, acted: Exclude<Acted, { kind: 'lost' | 'lacks' }>): void {
  const { key } = task
  if (acted.kind === 'ended') {
    if (task.undo) endUndo(turn, key, acted.record, acted)
    else endStep(turn, key, acted.record, acted)
    return
  }
  // Back-off, or a stop: it goes on then, and no stray wake-up before.
  if (!turn.task(key)) return
  turn.records.set(key, acted.record)
  const { run, tools } = turn
  const id = (task.undo ? undoId : stepId)(run.id, key, task.iteration)
  turn.ops.push(putStep(run.id, id, acted.record, tools.newId()))
  turn.say({ type: 'step_backed_off', step: key, not_before: acted.dueAt })
}

/** A record of the step under way, stored before what it says is done; the touch proves the claim. */
async function storeRecord(tools: Driver, at: Loaded, task: Task, lease: Lease, record: StepRecord): Promise<boolean> {
  const { run, scope } = at
  const until = tools.env.clock.now() + LEASE_MS
  const id = (task.undo ? undoId : stepId)(run.id, task.key, task.iteration)
  const done = await tools.state.commit(scope, [
    { op: 'touch', kind: kinds.run, id: run.id, ifClaim: lease.claim, until },
    putStep(run.id, id, record, tools.newId()),
  ])
  return done.ok
}
