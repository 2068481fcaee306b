import type { Begins, ChainEvent } from './happening.ts'
import { groupOf, type Run, type Task, timesEntered } from './run.ts'

const without = (list: readonly string[], name: string): readonly string[] =>
  list.includes(name) ? list.filter((n) => n !== name) : list
const changed = (r: Run, key: string, to: (t: Task) => Task): readonly Task[] =>
  r.open.map((t) => (t.key === key ? to(t) : t))

/** The record after one event. Pure, and total: an event that speaks of nothing open changes nothing. */
export function evolve(r: Run, e: ChainEvent): Run {
  switch (e.type) {
    case 'started':
      return { ...e.run, seq: 0 }
    case 'began':
      return withStatus({ ...r, status: 'running', deadline: e.deadline })
    case 'step_entered':
      return entered(r, e)
    case 'step_attempted':
      return withStatus({
        ...r,
        bytes: r.bytes + (e.bytes ?? 0),
        open: changed(r, e.step, (t) => begun(t, e)),
      })
    case 'step_backed_off':
      return withStatus({
        ...r,
        open: changed(r, e.step, (t) => ({
          ...resting(t),
          // Begun in a pause it is as if begun with it, as it is moved by the whole of it.
          notBefore: e.not_before - (r.paused ? e.at - r.paused.at : 0),
          attempt: t.attempt - (e.unmade ? 1 : 0),
        })),
      })
    case 'step_ended':
      return withStatus(left(r, e))
    case 'group_stopped':
      // Its time has done its work, or is no longer asked for.
      return {
        ...r,
        open: changed(r, e.step, ({ until: _u, ...t }) =>
          t.group ? { ...t, group: { ...t.group, stopped: e.why } } : t,
        ),
      }
    case 'step_stopping':
      return { ...r, open: changed(r, e.step, (t) => ({ ...t, stopping: true, ...(e.dropped && { dropped: true }) })) }
    case 'step_dropped':
      return withStatus({ ...r, open: r.open.filter((t) => t.key !== e.step) })
    case 'signalled':
      return r
    case 'paused':
      return withStatus({ ...r, paused: { at: e.at, by: e.by } })
    case 'unpaused': {
      const { paused, ...rest } = r
      const open = paused ? moved(r, paused.at, e.at) : r.open
      return withStatus({ ...rest, open, deadline: e.deadline })
    }
    case 'stopping': {
      const { paused, ...rest } = r
      // What others end is not paused any more; what failed meanwhile is not undone before somebody says so.
      return {
        ...rest,
        ...(paused && e.cause.status === 'failed' && { paused }),
        // In a loop it has been done before, and is to be done again.
        ...(e.cause.after && e.cause.step !== undefined && { done: without(r.done, e.cause.step) }),
        cause: e.cause,
      }
    }
    case 'compensating':
      return { ...r, status: 'compensating', deadline: e.deadline, undone: { ok: 0, failed: 0 } }
    case 'ended': {
      const { paused: _p, ...rest } = r
      const ended: Run = { ...rest, status: e.status, endedAt: e.at, open: [] }
      return {
        ...ended,
        ...(e.error && { error: e.error }),
        ...(e.by !== undefined && { endedBy: e.by }),
      }
    }
    case 'reopened': {
      if (e.undo) return undoing(r, e.deadline)
      const { endedAt: _at, error: _error, endedBy: _by, cause: _cause, undone: _undone, ...rest } = r
      return {
        ...rest,
        status: e.lock || e.under || r.status === 'pending' ? 'pending' : 'running',
        ...(e.lock && { lock: e.lock }),
        ...(e.under && { under: e.under }),
        ...(e.latest !== undefined && { latest: e.latest }),
        // It stays paused; from here on its time is another.
        ...(r.paused && { paused: { ...r.paused, at: e.at }, open: moved(r, r.paused.at, e.at) }),
        deadline: e.deadline,
        resumed: r.resumed + 1,
        done: r.done.filter((n) => !e.undone.includes(n)),
        failures: r.failures.filter((n) => !e.undone.includes(n)),
      }
    }
  }
}

/** What could not be undone is to be undone after all; nobody waits for its end any more. */
function undoing({ endedAt: _at, error: _error, endedBy: _by, ...r }: Run, deadline: number): Run {
  const { ok, failed } = r.undone ?? { ok: 0, failed: 1 }
  return {
    ...r,
    status: 'compensating',
    deadline,
    resumed: r.resumed + 1,
    undone: { ok, failed: failed - 1 },
    ...(r.cause && { cause: { ...r.cause, fromParent: true } }),
  }
}

/** The member of the event is one of this entry into the group; it may have outlasted an earlier one. */
const isOf = (t: Task, e: { readonly iteration: number }): boolean =>
  t.group !== undefined && t.iteration === e.iteration

function entered(r: Run, e: Extract<ChainEvent, { type: 'step_entered' }>): Run {
  const group = groupOf(e.step)
  // What an earlier entry waited for is to end first.
  const before = e.undo ? undefined : r.open.find((t) => t.key === e.step && t.stopping)
  const task: Task = {
    key: e.step,
    iteration: e.iteration,
    since: e.at,
    attempt: e.attempt ?? 0,
    ...(e.prev && { prev: e.prev }),
    ...(e.not_before !== undefined && { notBefore: e.not_before }),
    ...(e.undo && { undo: true }),
    ...(e.alone && { alone: true }),
    ...(e.own !== undefined && { own: e.own }),
    ...(before?.child !== undefined && { child: before.child, stopping: true }),
  }
  const next: Run = { ...r, open: [...r.open.filter((t) => t.key !== e.step), task] }
  if (e.undo) return { ...next, ...(e.deadline !== undefined && { deadline: e.deadline }) }
  if (group === undefined)
    return withStatus({
      ...next,
      entered: { ...r.entered, [e.step]: Math.max(timesEntered(r, e.step), e.iteration + 1) },
      // One that is brought back by itself stays where it stood among those done.
      done: e.alone ? r.done : without(r.done, e.step),
    })
  return withStatus({
    ...next,
    open: changed(next, group, (t) => (isOf(t, e) ? { ...t, group: { ...t.group!, next: t.group!.next + 1 } } : t)),
  })
}

/** While an execution is paused its time stands still. */
const later = (t: Task, ms: number): Task => ({
  ...t,
  ...(t.notBefore !== undefined && { notBefore: t.notBefore + ms }),
  ...(t.until !== undefined && !t.fixed && { until: t.until + ms }),
})

const moved = ({ open }: Run, pausedAt: number, now: number): readonly Task[] =>
  open.map((t) => later(t, now - Math.max(pausedAt, t.since)))

/** Without what its last attempt waited for. */
const resting = (t: Task): Task => {
  const {
    notBefore: _n,
    child: _c,
    stopping: _t,
    dropped: _d,
    until: _u,
    fixed: _f,
    limited: _l,
    signal: _s,
    ...rest
  } = t
  return rest
}

function begun(was: Task, e: Begins & { attempt: number }): Task {
  const t = resting(was)
  const { members: total, redo } = e
  return {
    ...t,
    attempt: e.attempt,
    ...(e.child !== undefined && { child: e.child }),
    ...(e.until !== undefined && { until: e.until }),
    ...(e.fixed && { fixed: true }),
    ...(e.limited && { limited: true }),
    ...(e.signal !== undefined && { signal: e.signal }),
    ...(total !== undefined && {
      group: { total, next: 0, ok: redo ? total - redo.length : 0, failed: 0, ...(redo && { redo }) },
    }),
  }
}

/** Others follow the step. */
export const letsGoOn = (e: Extract<ChainEvent, { type: 'step_ended' }>): boolean =>
  e.success || e.tolerated === true || e.next !== undefined

function left(r: Run, e: Extract<ChainEvent, { type: 'step_ended' }>): Run {
  const next: Run = {
    ...r,
    open: r.open.filter((t) => t.key !== e.step),
    taken: r.taken + 1,
    bytes: r.bytes + e.bytes,
  }
  if (e.undo) {
    const { ok, failed } = r.undone ?? { ok: 0, failed: 0 }
    return { ...next, undone: { ok: ok + (e.success ? 1 : 0), failed: failed + (e.success ? 0 : 1) } }
  }
  const group = groupOf(e.step)
  if (group === undefined) {
    const stays = r.done.includes(e.step)
    return {
      ...next,
      done: letsGoOn(e) && !stays ? [...r.done, e.step] : r.done,
      failures: e.tolerated ? [...without(r.failures, e.step), e.step] : without(r.failures, e.step),
    }
  }
  return {
    ...next,
    open: changed(next, group, (t) =>
      isOf(t, e)
        ? {
            ...t,
            group: {
              ...t.group!,
              ok: t.group!.ok + (e.success ? 1 : 0),
              failed: t.group!.failed + (e.success ? 0 : 1),
            },
          }
        : t,
    ),
  }
}

/** `waiting`: nothing is to be done until a time, a signal, another execution or somebody says so. */
function withStatus(r: Run): Run {
  if (r.status === 'pending' || r.status === 'compensating' || r.endedAt !== undefined) return r
  const waits = r.paused !== undefined || (r.open.length > 0 && r.open.every((t) => isWaiting(t, r)))
  const status = waits ? 'waiting' : 'running'
  return r.status === status ? r : { ...r, status }
}
function isWaiting(t: Task, r: Run): boolean {
  if (t.group) return r.open.some((m) => groupOf(m.key) === t.key)
  return t.child !== undefined || t.until !== undefined || t.signal !== undefined
}

/** The record that a history tells of. Throws when it does not begin with its beginning. */
export function fold(events: readonly ChainEvent[], seq: number): Run {
  const [first, ...rest] = events
  if (first?.type !== 'started') throw new Error('a history begins with "started"')
  return { ...rest.reduce(evolve, evolve({ ...first.run, seq: 0 }, first)), seq }
}
