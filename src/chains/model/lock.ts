import type { Action, Scope } from '../../core/action.ts'
import { kinds } from '../../core/hold.ts'
import { joinParts, sha256 } from '../../core/ids.ts'
import { follow, type Json, pathOf } from '../../core/json.ts'
import type { Entry, Op, StateStore } from '../../core/state.ts'
import { readRun } from './loaded.ts'
import { hasEnded, type Run } from './run.ts'

/**
 * Executions of one entity run one after another, in the order they were admitted.
 *
 * 1 The lock is an entry whose value is its holder. Who is admitted takes it if it is free, and stands in line in the same commit.
 * 2 The commit that ends the holder gives it to the first in line and wakes that one. Whoever comes to the line changes an entry
 *   beside the lock; where the line was empty, that commit asks that nobody has come since before it was looked at.
 * 3 Who ends without holding it asks that nobody has given it to him meanwhile.
 * 4 Whoever waits looks again from time to time, also whether the holder is still there: nothing but time is lost with a lock
 *   that nobody gives away.
 */

/** How often one that waits looks by itself. */
export const LOOK_AGAIN_MS = 600_000

type Lock = NonNullable<Run['lock']>
const lockTag = (lock: string): string => `lock:${lock}`

/** The value at `lock_by`, a path of the origin; undefined where it has none, and then nothing is locked. */
export function entityOf(path: string, origin: Action): string | undefined {
  const value = follow({ ...origin } as Json, pathOf(path))
  if (value === undefined || value === null || value === '') return undefined
  return entityName(typeof value === 'string' ? value : JSON.stringify(value))
}
const LONGEST_ENTITY = 256
/** It is written with every step, so a long one is kept by its beginning and its hash. */
export const entityName = (value: string): string =>
  value.length <= LONGEST_ENTITY ? value : `${value.slice(0, 200)}…${sha256(value)}`
/** One entity by one path: chains that lock by the same path exclude each other. */
export const lockId = (path: string, entity: string): string => joinParts([path, entity])

/** Takes the lock if it is free, and a place in line. `place` is a new id: ids sort in the order they were made. */
export function lineUp(runId: string, { id, place }: Lock, version: string): readonly Op[] {
  return [
    { op: 'put', kind: kinds.chainLock, id, value: runId, version, ifVersion: null, orSkip: true },
    { op: 'put', kind: kinds.chainLockWait, id: place, value: runId, version, tags: [lockTag(id)] },
    { op: 'put', kind: kinds.chainLockCame, id, value: runId, version },
  ]
}

/** Whether it is this one's turn. `take`: the lock is nobody's any more, and this op takes it. */
export async function turnOf(
  state: StateStore,
  scope: Scope,
  { id, lock, under }: Run,
  version: string,
): Promise<{ readonly mine: boolean; readonly take?: Op }> {
  if (under) return { mine: (await lockOf(state, scope, under.lock))?.value === under.root }
  if (!lock) return { mine: true }
  const entry = await lockOf(state, scope, lock.id)
  if (entry?.value === id) return { mine: true }
  if (entry && (await isOpen(state, scope, entry.value))) return { mine: false }
  const ifVersion = entry?.version ?? null
  return { mine: true, take: { op: 'put', kind: kinds.chainLock, id: lock.id, value: id, version, ifVersion } }
}
/** Once it has begun it is no longer in line. */
export const outOfLine = ({ place: id }: Lock): Op => ({ op: 'delete', kind: kinds.chainLockWait, id })

async function lockOf(state: StateStore, scope: Scope, id: string): Promise<Entry | undefined> {
  const [entry] = await state.get([{ kind: kinds.chainLock, scope, id }])
  return entry
}
async function isOpen(state: StateStore, scope: Scope, id: string): Promise<boolean> {
  const [entry] = await state.get([{ kind: kinds.run, scope, id }])
  return entry !== undefined && !hasEnded(readRun(entry.value))
}

/** What the end of an execution does with its lock: ops for the same commit, all of which hold or none. */
export async function handOver(state: StateStore, scope: Scope, run: Run, newId: () => string): Promise<readonly Op[]> {
  const { lock } = run
  if (!lock) return []
  const { id } = lock
  const [entry, came] = await state.get([
    { kind: kinds.chainLock, scope, id },
    { kind: kinds.chainLockCame, scope, id },
  ])
  const kind = kinds.chainLock
  if (entry?.value !== run.id) {
    const asItWas: Op = entry
      ? { op: 'put', kind, id, value: entry.value, version: newId(), ifVersion: entry.version }
      : { op: 'delete', kind, id, ifVersion: null }
    return [asItWas, outOfLine(lock)]
  }
  // After the entry beside it: who comes from here on is seen by the commit.
  const line = await state.list(kinds.chainLockWait, scope, { tag: lockTag(id), limit: 2 })
  const next = line.entries.find((e) => e.value !== run.id)
  const { version: ifVersion } = entry
  if (next)
    return [
      outOfLine(lock),
      { op: 'put', kind, id, value: next.value, version: newId(), ifVersion },
      { op: 'wake', kind: kinds.run, id: next.value },
    ]
  return [
    outOfLine(lock),
    { op: 'delete', kind, id, ifVersion },
    { op: 'delete', kind: kinds.chainLockCame, id, ifVersion: came?.version ?? null },
  ]
}
