import type { Scope } from '../core/action.ts'
import type { Env } from '../core/env.ts'
import { notFound, Problem } from '../core/errors.ts'
import { kinds } from '../core/hold.ts'
import { uuidv7Time } from '../core/ids.ts'
import type { Entry, Op, StateStore } from '../core/state.ts'
import { LEASE_MS } from '../delivery/lease.ts'
import { advance } from './advance.ts'
import type { Chains } from './chains.ts'
import type { Chain } from './compile.ts'
import type { ChainDefinition } from './definition.ts'
import { readBeginning, readRecord, readRun } from './load.ts'
import {
  beginningId,
  type CancelRequest,
  cancelId,
  childEndId,
  endedStatuses,
  hasEnded,
  type Run,
  runTags,
  statusTag,
  stepId,
} from './run.ts'

export interface OperationsDeps {
  readonly state: StateStore
  readonly env: Env
  readonly owner: string
  readonly chainOf: (d: ChainDefinition) => Chain
  /** Ends the back-off of an execution this node drives. */
  readonly interrupt: (id: string) => void
  readonly woke: () => void
  readonly begin: (scope: Scope, id: string) => void
}

/** What is done to executions from outside. None of it writes a claimed record. */
export function createOperations(deps: OperationsDeps): Pick<Chains, 'cancel' | 'resumeFromDeadLetter' | 'purge'> {
  const { state, env } = deps

  async function readEntry(scope: Scope, id: string): Promise<{ entry: Entry; run: Run } | undefined> {
    const [entry] = await state.get([{ kind: kinds.run, scope, id }])
    return entry && { entry, run: readRun(entry.value) }
  }
  const ended = (run: Run) => new Problem(409, 'chain_ended', `the execution has ended: ${run.status}`)
  const movedOn = (why: string) => new Problem(409, 'chain_moved_on', `the execution cannot go on at this step: ${why}`)

  const forget = (run: Run): readonly Op[] => [
    { op: 'delete', kind: kinds.inbox, id: cancelId(run.id) },
    { op: 'delete', kind: kinds.inbox, id: childEndId(run.id, run.at.step, run.at.iteration) },
  ]
  const failedAt = (run: Run, step: string, iteration: number): void => {
    if (run.status !== 'failed' && run.status !== 'timed_out') throw movedOn(`it is ${run.status}`)
    if (run.at.step !== step || run.at.iteration !== iteration) throw movedOn(`it ended at "${run.at.step}"`)
  }

  return {
    async cancel(scope, id, by) {
      const found = await readEntry(scope, id)
      if (!found) throw notFound('execution')
      if (hasEnded(found.run)) throw ended(found.run)
      const now = env.clock.now()
      const request: CancelRequest = { by, at: now }
      const value = JSON.stringify(request)
      const done = await state.commit(scope, [
        // One that is there already stays: it may be the parent's.
        {
          op: 'put',
          kind: kinds.inbox,
          id: cancelId(id),
          value,
          version: env.newId(),
          ifVersion: null,
          orSkip: true,
        },
        { op: 'wake', kind: kinds.run, id },
      ])
      if (!done.ok || done.results[1]?.skipped) throw ended((await readEntry(scope, id))?.run ?? found.run)
      deps.interrupt(id)
      deps.woke()
      return { chain_id: id, chain_name: found.run.chain, status: found.run.status, cancel_requested: true }
    },

    async resumeFromDeadLetter({ scope, chainId, step, iteration }, also) {
      const found = await readEntry(scope, chainId)
      if (!found) throw notFound('execution')
      failedAt(found.run, step, iteration)
      // Root last: a parent that has taken the failure its own way does not want the child to go on.
      const line = [found]
      for (let parent = found.run.parent; parent; parent = line.at(-1)!.run.parent) {
        const next = await readEntry(scope, parent.id)
        if (!next) throw movedOn('its parent is gone')
        failedAt(next.run, parent.step, parent.iteration)
        line.push(next)
      }
      const now = env.clock.now()
      const ops: Op[] = []
      let deadline = Number.POSITIVE_INFINITY
      for (const [i, { entry, run }] of [...line.entries()].reverse()) {
        const ids = [beginningId(run.id), stepId(run.id, run.at.step, run.at.iteration)]
        const [begin, here] = await state.get(ids.map((id) => ({ kind: kinds.step, scope, id })))
        const definition = begin && readBeginning(begin.value).definitions[0]
        if (!definition) throw movedOn('what it began with is gone')
        const facts = { origin: readBeginning(begin.value).origin, results: new Map() }
        const event = { type: i === 0 ? 'redriven' : 'child_redriven' } as const
        const open = advance(deps.chainOf(definition), run, event, facts, now)
        deadline = Math.min(open.deadline, deadline)
        const next: Run = { ...open, deadline }
        ops.push(
          {
            op: 'put',
            kind: kinds.run,
            id: run.id,
            value: JSON.stringify(next),
            version: env.newId(),
            tags: runTags(next),
            ifVersion: entry.version,
            ifUnclaimed: true,
            ...(i === 0 ? { claim: { owner: deps.owner, until: now + LEASE_MS } } : { dueAt: deadline }),
          },
          ...forget(run),
        )
        if (i > 0 && here)
          ops.push({
            op: 'put',
            kind: kinds.step,
            id: here.key.id,
            value: reopenedRecord(here.value),
            version: env.newId(),
          })
      }
      const done = await state.commit(scope, [...ops, ...also])
      if (!done.ok) throw movedOn('it, or its letter, has changed meanwhile')
      deps.begin(scope, chainId)
    },

    async purge(scope, endedBefore, limit) {
      let gone = 0
      for (const status of endedStatuses) {
        let after: string | undefined
        do {
          const page = await state.list(kinds.run, scope, {
            tag: statusTag(status),
            limit: Math.max(limit, 1),
            ...(after !== undefined && { after }),
          })
          after = page.next
          for (const entry of page.entries) {
            if (gone >= limit) return gone
            // Ids begin with the moment the execution did: from here on none can have ended before.
            if (uuidv7Time(entry.key.id) >= endedBefore) after = undefined
            const run = readRun(entry.value)
            if (!hasEnded(run) || run.endedAt! >= endedBefore) continue
            const done = await state.commit(scope, [
              { op: 'delete', kind: kinds.run, id: run.id, ifVersion: entry.version, ifUnclaimed: true },
              ...[beginningId(run.id), ...stepIds(run)].map((id): Op => ({ op: 'delete', kind: kinds.step, id })),
              ...forget(run),
            ])
            if (done.ok) gone++
          }
        } while (after !== undefined)
      }
      return gone
    },
  }
}

const stepIds = (run: Run): readonly string[] =>
  Object.entries(run.entered).flatMap(([step, n]) => Array.from({ length: n }, (_, i) => stepId(run.id, step, i)))

/** The step waits again for the end it had been given. */
function reopenedRecord(value: string): string {
  const { result: _result, endedAt: _endedAt, ...record } = readRecord(value)
  return JSON.stringify(record)
}
