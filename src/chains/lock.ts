import type { Action, Scope } from '../core/action.ts'
import { kinds } from '../core/hold.ts'
import { joinParts } from '../core/ids.ts'
import { follow, type Json } from '../core/json.ts'
import type { Op, StateStore } from '../core/state.ts'
import type { Run } from './run.ts'

/**
 * Executions of one entity run one after another, in the order they were admitted.
 *
 * 1 The lock is an entry whose value is its holder. Who is admitted takes it if it is free, and stands in line in the same commit.
 * 2 The commit that ends the holder gives it to the first in line and wakes that one. A counter of arrivals, asked in the same
 *   commit, tells whether somebody has come to the line since it was looked at; then it is looked at again.
 * 3 Whoever waits looks again from time to time, so that nothing but time is lost with a lock whose entry is gone.
 */
const ARRIVALS_MS = 86_400_000
/** How often one that waits looks by itself. */
export const LOOK_AGAIN_MS = 600_000

const lockTag = (lock: string): string => `lock:${lock}`
const arrivalsId = (lock: string): string => `chain_lock:${lock}`

/** The value at `lock_by`, a path of the origin; undefined where it has none, and then nothing is locked. */
export function entityOf(path: string, origin: Action): string | undefined {
  const value = follow({ ...origin } as Json, path.split('.'))
  if (value === undefined || value === null || value === '') return undefined
  return typeof value === 'string' ? value : JSON.stringify(value)
}
/** One entity by one path: chains that lock by the same path exclude each other. */
export const lockId = (path: string, entity: string): string => joinParts([path, entity])

/** Takes the lock if it is free, and a place in line. `place` is a new id: ids sort in the order they were made. */
export function lineUp(runId: string, lock: NonNullable<Run['lock']>, now: number, version: string): readonly Op[] {
  const { id, place } = lock
  return [
    { op: 'put', kind: kinds.chainLock, id, value: runId, version, ifVersion: null, orSkip: true },
    { op: 'put', kind: kinds.chainLockWait, id: place, value: runId, version, tags: [lockTag(id)] },
    { op: 'count', id: arrivalsId(id), by: 1, expiresAt: now + ARRIVALS_MS },
  ]
}

/** Whether it is this one's turn. `take`: the lock's entry is gone, and these ops take it. */
export async function turnOf(
  state: StateStore,
  scope: Scope,
  run: Run,
  version: string,
): Promise<{ readonly mine: boolean; readonly take?: Op }> {
  const { lock } = run
  if (!lock) return { mine: true }
  const [entry] = await state.get([{ kind: kinds.chainLock, scope, id: lock.id }])
  if (entry) return { mine: entry.value === run.id }
  return {
    mine: true,
    take: { op: 'put', kind: kinds.chainLock, id: lock.id, value: run.id, version, ifVersion: null },
  }
}
/** Once it has begun it is no longer in line. */
export const outOfLine = (lock: NonNullable<Run['lock']>): Op => ({
  op: 'delete',
  kind: kinds.chainLockWait,
  id: lock.place,
})

/** What the end of an execution does with its lock: ops for the same commit, all of which hold or none. */
export async function handOver(
  state: StateStore,
  scope: Scope,
  run: Run,
  newId: () => string,
  now: number,
): Promise<readonly Op[]> {
  const { lock } = run
  if (!lock) return []
  const [[entry], [arrivals], line] = await Promise.all([
    state.get([{ kind: kinds.chainLock, scope, id: lock.id }]),
    state.peek('count', scope, [arrivalsId(lock.id)]),
    state.list(kinds.chainLockWait, scope, { tag: lockTag(lock.id), limit: 2 }),
  ])
  if (entry?.value !== run.id) return [outOfLine(lock)]
  const next = line.entries.find((e) => e.value !== run.id)
  const seen = arrivals?.n ?? 0
  return [
    // Somebody who came since then makes the count greater than nothing: look again.
    { op: 'count', id: arrivalsId(lock.id), by: -seen, limit: 0, expiresAt: now + ARRIVALS_MS },
    outOfLine(lock),
    ...(next
      ? ([
          {
            op: 'put',
            kind: kinds.chainLock,
            id: lock.id,
            value: next.value,
            version: newId(),
            ifVersion: entry.version,
          },
          { op: 'wake', kind: kinds.run, id: next.value },
        ] as const)
      : ([{ op: 'delete', kind: kinds.chainLock, id: lock.id, ifVersion: entry.version }] as const)),
  ]
}
