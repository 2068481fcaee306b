import { isoTime } from '../../core/clock.ts'
import type { Json, JsonObject } from '../../core/json.ts'
import type { Entry } from '../../core/state.ts'
import type { Chain, ChainStep } from '../model/compiled.ts'
import type { StepDefinition } from '../model/definition.ts'
import { readRun } from '../model/loaded.ts'
import { hasEnded, PARKED, type Run, type StepRecord, stepAt, type Task, timesEntered } from '../model/run.ts'
import { kindOf } from '../steps/index.ts'
import type { Names } from './names.ts'

/** An execution in wire names, without its steps; `names` as they may be shown. Not yet redacted. */
export function runView({ key, value, tags }: Pick<Entry, 'key' | 'value' | 'tags'>, names: Names): JsonObject {
  const run = readRun(value)
  const [namespace, tenant] = key.scope
  const isParked = tags.some((t) => t.startsWith(PARKED))
  const at = stepAt(run)
  const ended = hasEnded(run)
  const children = run.open.flatMap((t) => (t.child === undefined ? [] : [t.child]))
  const notBefore = run.open.flatMap((t) => {
    const at = momentsOf(run, t).notBefore
    return at === undefined ? [] : [at]
  })
  return {
    chain_id: run.id,
    chain_name: run.chain,
    definition_version: run.version,
    status: run.status,
    namespace,
    tenant,
    action_id: run.actionId,
    run_id: run.runId,
    ...(run.rule !== undefined && { rule: run.rule }),
    ...(run.parent && { parent_chain_id: run.parent.id, parent_step: run.parent.step }),
    ...(names.entity !== undefined && { entity: names.entity }),
    ...(names.attributes && { attributes: names.attributes }),
    priority: run.priority,
    total_steps: run.totalSteps,
    steps_taken: run.taken,
    ...(at !== undefined && (ended ? { last_step: at } : { current_step: at })),
    ...(run.open.length > 1 && { open_steps: run.open.map((t) => t.key) }),
    ...(!ended && children.length === 1 && { waiting_for: children[0]! }),
    ...(!ended && children.length > 1 && { waiting_for: children }),
    ...(isParked ? { waiting_for: 'place' } : run.status === 'pending' && run.lock && { waiting_for: 'lock' }),
    ...(notBefore.length > 0 && !ended && { not_before: isoTime(Math.min(...notBefore)) }),
    ...(run.paused && { paused_at: isoTime(run.paused.at), paused_by: run.paused.by }),
    started_at: isoTime(run.startedAt),
    // In line it has no time limit; its time begins in full when it may begin. Paused, it is put off for as long as that lasts.
    ...(run.status !== 'pending' && !run.paused && { expires_at: isoTime(run.deadline) }),
    ...(run.endedAt !== undefined && { ended_at: isoTime(run.endedAt), duration_ms: run.endedAt - run.startedAt }),
    ...(run.cause && !ended && { ending: run.cause.status }),
    ...(run.error && { error: run.error }),
    ...(run.failures.length > 0 && { failed_steps: run.failures }),
    ...(run.undone && { compensated: run.undone.ok, not_compensated: run.undone.failed }),
    ...(run.endedBy !== undefined && { cancelled_by: run.endedBy }),
    ...(run.resumed > 0 && { resumed: run.resumed }),
    data_bytes: run.bytes,
  }
}

interface Moments {
  readonly notBefore?: number | undefined
  readonly until?: number | undefined
}
/** What it waits for by the clock. While an execution is paused these stand still: nobody can say when they will be, but for the calendar. */
const momentsOf = (run: Run, { notBefore, until, fixed }: Task): Moments =>
  run.paused ? { until: fixed ? until : undefined } : { notBefore, until }
const shown = ({ notBefore, until }: Moments): JsonObject => ({
  ...(notBefore !== undefined && { not_before: isoTime(notBefore) }),
  ...(until !== undefined && { waits_until: isoTime(until) }),
})

/** The providers that its open steps need and that this node does not have: what it waits for, as `waiting_for` says it. */
export function lacking(run: Run, chain: Chain | undefined, has: (provider: string) => boolean): readonly string[] {
  if (run.status !== 'running' && run.status !== 'compensating') return []
  const lacks = run.open.flatMap((t) => {
    const step = stepOf(chain, t.key)
    const sends = t.undo ? step?.undo?.definition : step?.definition
    return sends && 'provider' in sends && !has(sends.provider) ? [`provider ${sends.provider}`] : []
  })
  return [...new Set(lacks)]
}
/** What else it waits for, one or more. */
export function alsoWaiting(view: JsonObject, lacks: readonly string[]): JsonObject {
  if (lacks.length === 0) return view
  const { waiting_for: others = [] } = view
  const all = [...(Array.isArray(others) ? (others as readonly Json[]) : [others]), ...lacks]
  return { ...view, waiting_for: all.length === 1 ? all[0]! : all }
}

/** Each entry into a step in the order taken, then the steps not (yet) taken. Not yet redacted. */
export function stepViews(
  run: Run,
  chain: Chain | undefined,
  records: readonly StepRecord[],
  undoing: readonly StepRecord[],
): readonly JsonObject[] {
  const seen = [...records].sort((a, b) => a.enteredAt - b.enteredAt || a.seq - b.seq || a.iteration - b.iteration)
  const undone = new Map(undoing.map((r) => [`${r.iteration}/${r.key}`, r]))
  const views = seen.map((r) => recordView(run, stepOf(chain, r.key), r, undone.get(`${r.iteration}/${r.key}`)))
  const listed = new Set(seen.map((r) => `${r.iteration}/${r.key}`))
  const taken = new Set(seen.map((r) => r.key))
  for (const t of run.open) {
    // Nothing is stored of a step that needs no store, until it has ended.
    if (t.undo || listed.has(`${t.iteration}/${t.key}`)) continue
    views.push({
      ...about(t.key, stepOf(chain, t.key)?.definition),
      iteration: t.iteration,
      status: statusOf(t),
      attempts: t.attempt,
      ...shown(momentsOf(run, t)),
    })
    taken.add(t.key)
  }
  const rest = hasEnded(run) ? 'skipped' : 'pending'
  for (const s of chain?.steps.values() ?? [])
    if (!taken.has(s.name) || isToCome(run, s.name)) views.push({ ...about(s.name, s.definition), status: rest })
  return views
}

/** It was taken, and a reset has gone back to before it. */
const isToCome = (run: Run, name: string): boolean =>
  !hasEnded(run) &&
  run.cause === undefined &&
  timesEntered(run, name) > 0 &&
  !run.done.includes(name) &&
  !run.open.some((t) => t.key === name)

function stepOf(chain: Chain | undefined, key: string): ChainStep | undefined {
  try {
    return chain?.step(key)
  } catch {
    // An execution of a version before groups had members: it is shown without what is said of the step.
    return undefined
  }
}

const about = (name: string, step: StepDefinition | undefined): JsonObject => ({
  name,
  ...(step && { kind: kindOf(step).kind }),
  ...(step && 'provider' in step && { provider: step.provider, action_type: step.action_type }),
  ...(step && 'sub_chain' in step && { sub_chain: step.sub_chain }),
})

function statusOf(t: Task | undefined): string {
  // It was not wanted any more: its group was decided, or the execution ended.
  if (!t) return 'dropped'
  if (t.child !== undefined || t.signal !== undefined || t.until !== undefined) return t.group ? 'running' : 'waiting'
  return t.notBefore !== undefined || t.attempt === 0 ? 'pending' : 'running'
}

function recordView(run: Run, step: ChainStep | undefined, r: StepRecord, undo: StepRecord | undefined): JsonObject {
  const { result } = r
  const task = run.open.find((t) => t.key === r.key && t.iteration === r.iteration)
  const attempts = Math.max(r.attempts ?? 0, task?.attempt ?? 0)
  return {
    ...about(r.key, step?.definition),
    iteration: r.iteration,
    status: result ? (result.success ? 'completed' : 'failed') : statusOf(task),
    started_at: isoTime(r.enteredAt),
    ...(r.endedAt !== undefined && { ended_at: isoTime(r.endedAt), duration_ms: r.endedAt - r.enteredAt }),
    ...(attempts > 0 && { attempts }),
    ...(task && shown(momentsOf(run, task))),
    ...(task?.signal !== undefined && { waits_for_signal: task.signal }),
    ...(task?.group && { members: { ...task.group, redo: [...(task.group.redo ?? [])] } }),
    ...(r.input !== undefined && { input: r.input }),
    ...(r.missing && { missing: r.missing }),
    ...(result && { output: result }),
    ...(r.cached && { cached: true }),
    ...(r.child && { child_chain_id: r.child.id }),
    ...(r.deadLetterId !== undefined && { dead_letter_id: r.deadLetterId }),
    ...(r.undo === 'done' && { compensated: true }),
    ...(r.undo === 'failed' && { compensated: false }),
    ...(undo && { compensation: undoView(undo) }),
  }
}

function undoView(r: StepRecord): JsonObject {
  const { result } = r
  return {
    status: result ? (result.success ? 'completed' : 'failed') : 'running',
    started_at: isoTime(r.enteredAt),
    ...(r.endedAt !== undefined && { ended_at: isoTime(r.endedAt) }),
    attempts: r.attempts ?? 0,
    ...(r.input !== undefined && { input: r.input }),
    ...(r.missing && { missing: r.missing }),
    ...(result && { output: result }),
    ...(r.deadLetterId !== undefined && { dead_letter_id: r.deadLetterId }),
  }
}
