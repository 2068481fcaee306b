import type { Scope } from '../core/action.ts'
import type { Env } from '../core/env.ts'
import { kinds } from '../core/hold.ts'
import type { Op, StateStore } from '../core/state.ts'
import { LEASE_MS, type Lease } from '../delivery/lease.ts'
import { priorities } from './definition.ts'
import { parkedTag, type Run, runTags } from './run.ts'

/*
 * Semaphores whose holders expire with the claim: an execution is inside of them while a node drives it, and outside while it waits
 * for a time, a signal or another execution. One that finds no place is parked under a tag; whoever leaves wakes the first.
 */

/** For the commit that takes up an execution, and each that renews its claim. */
export const enterSlots = (run: Run, until: number): readonly Op[] =>
  (run.limits ?? []).map(({ id, max }) => ({ op: 'slot', id: slotId(id), holder: run.id, max, until }))
/** For each commit that ends the claim. */
export const leaveSlots = (run: Run): readonly Op[] =>
  (run.limits ?? []).map(({ id, max }) => ({ op: 'slot', id: slotId(id), holder: run.id, max, until: 0 }))
const slotId = (limit: string): string => `chain_slot:${limit}`

/** Takes what an execution must be inside of while it is driven. False: it is full, and the execution is parked until a place is free. */
export async function takePlaces(
  { state, env }: { readonly state: StateStore; readonly env: Env },
  { scope, run }: { readonly scope: Scope; readonly run: Run },
  lease: Lease,
): Promise<boolean> {
  const now = env.clock.now()
  if (!run.limits) return true
  let dueAt = now + LEASE_MS
  if (!(await isBehind(state, scope, run))) {
    const until = now + LEASE_MS
    const touch: Op = { op: 'touch', kind: kinds.run, id: run.id, ifClaim: lease.claim, until }
    const done = await state.commit(scope, [touch, ...enterSlots(run, until)])
    if (done.ok) return true
    if (done.at === 0) return false
    dueAt = Math.min(dueAt, done.retryAt ?? dueAt)
  }
  await state.commit(scope, [
    {
      op: 'put',
      kind: kinds.run,
      id: run.id,
      value: JSON.stringify(run),
      version: env.newId(),
      tags: [...runTags(run), ...(run.limits ?? []).map(({ id }) => parkedTag(id, run.priority))],
      ifClaim: lease.claim,
      dueAt: Math.max(dueAt, now + 1),
    },
  ])
  return false
}

/** Somebody has been waiting for the same place for longer. */
async function isBehind(state: StateStore, scope: Scope, run: Run): Promise<boolean> {
  for (const { id } of run.limits ?? []) {
    const first = await firstParked(state, scope, id, run.priority)
    if (first !== undefined && first !== run.id && first < run.id) return true
  }
  return false
}

/** Makes the first in each line due. A hint: whoever is parked is due by itself once the places taken have expired. */
export async function wakeParked(state: StateStore, scope: Scope, run: Run): Promise<boolean> {
  const wakes: Op[] = []
  for (const { id } of run.limits ?? [])
    for (const priority of priorities) {
      const first = await firstParked(state, scope, id, priority)
      if (first === undefined || first === run.id) continue
      wakes.push({ op: 'wake', kind: kinds.run, id: first })
      break
    }
  if (wakes.length > 0) await state.commit(scope, wakes)
  return wakes.length > 0
}

async function firstParked(
  state: StateStore,
  scope: Scope,
  limit: string,
  priority: Run['priority'],
): Promise<string | undefined> {
  const page = await state.list(kinds.run, scope, { tag: parkedTag(limit, priority), limit: 1 })
  return page.entries[0]?.key.id
}
