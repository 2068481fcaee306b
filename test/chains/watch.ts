import { isDeepStrictEqual } from 'node:util'
import { onTestFinished } from 'vitest'
import type { ChainEvent } from '../../src/chains/model/happening.ts'
import { evolve } from '../../src/chains/model/history.ts'
import { readRecord, readRun } from '../../src/chains/model/loaded.ts'
import { hasEnded, type Run, stepId } from '../../src/chains/model/run.ts'
import type { Op, StateStore } from '../../src/core/state.ts'

export const MOST_BYTES_OF_A_RUN = 16 * 1024

/** What a test may ask of all that was committed. */
export interface Watch {
  readonly store: StateStore
  /** Commits that put an execution, in order. */
  readonly commits: number
  /** What is not as it must be, in words. */
  readonly wrong: readonly string[]
  /** The largest record of an execution, in bytes. */
  readonly largest: number
  /** Everything that happened to an execution, in order. */
  events(id: string): readonly ChainEvent[]
}

function failing(wrong: readonly string[]): void {
  if (wrong.length > 0) throw new Error(wrong.slice(0, 5).join('\n'))
}

type Put = Extract<Op, { op: 'put' }>

/**
 * A store that looks at every commit of an execution as it is done, whatever the test is about: its record is the fold of its
 * history, a history only grows, an end is final but for who brings it back, a step's end comes with its result, what is open is
 * always due, and the record stays small. What is wrong fails the test when it ends: thrown here it would look like a store's fault.
 */
export function watched(base: StateStore, atEnd: (wrong: readonly string[]) => void = failing): Watch {
  const wrong: string[] = []
  const known = new Map<string, Run>()
  const histories = new Map<string, ChainEvent[]>()
  let commits = 0
  let largest = 0
  onTestFinished(() => atEnd(wrong))

  function look(ops: readonly Op[], skipped: (i: number) => boolean): void {
    const puts = ops.filter((o, i): o is Put => o.op === 'put' && !skipped(i))
    for (const op of ops)
      if (op.op === 'delete' && op.kind === 'run') {
        known.delete(op.id)
        histories.delete(op.id)
      }
    for (const put of puts) {
      if (put.kind === 'run') lookAtRun(put, puts)
      if (put.kind === 'history' && !puts.some((p) => p.kind === 'run' && put.id.startsWith(`${p.id}/`)))
        wrong.push(`history ${put.id} was written without its execution`)
    }
  }

  function lookAtRun(put: Put, puts: readonly Put[]): void {
    commits++
    const { id } = put
    const say = (what: string): void => void wrong.push(`execution ${id}, commit ${commits}: ${what}`)
    const run = readRun(put.value)
    const mine = puts.filter((p) => p.kind === 'history' && p.id.startsWith(`${id}/`))
    const events = mine.flatMap((p) => JSON.parse(p.value) as ChainEvent[])
    const before = known.get(id)
    if (mine.length > 1) say('two entries of history in one commit')
    if (mine[0] && mine[0].id !== `${id}/${String(run.seq).padStart(7, '0')}`)
      say(`history ${mine[0].id} at ${run.seq}`)
    if (run.seq !== (before ? before.seq + (mine.length > 0 ? 1 : 0) : 0)) say(`seq ${before?.seq} became ${run.seq}`)
    if (!before && events[0]?.type !== 'started') say('its history does not begin with "started"')
    if (before && hasEnded(before) && events.length > 0 && events[0]?.type !== 'reopened')
      say(`it had ended, and then ${events[0]?.type}`)
    const folded = { ...events.reduce(evolve, before ?? run), seq: run.seq }
    const plain = JSON.parse(JSON.stringify(folded)) as Run
    if (!isDeepStrictEqual(plain, run)) say(`the fold ${JSON.stringify(plain)} is not the record ${put.value}`)
    if (hasEnded(run)) {
      if (put.dueAt !== undefined || put.claim) say('it has ended, and is due')
    } else if (!put.claim && !(put.dueAt !== undefined && Number.isFinite(put.dueAt))) say('it is open, and never due')
    for (const e of events) {
      if (e.type !== 'step_ended' || e.undo) continue
      const record = puts.findLast((p) => p.kind === 'step' && p.id === stepId(id, e.step, e.iteration))
      if (record && readRecord(record.value).result?.success === e.success) continue
      say(`step ${e.step} ended without its result`)
    }
    const bytes = Buffer.byteLength(put.value)
    largest = Math.max(largest, bytes)
    if (bytes > MOST_BYTES_OF_A_RUN) say(`its record has ${bytes} bytes`)
    known.set(id, run)
    histories.set(id, [...(histories.get(id) ?? []), ...events])
  }

  return {
    store: {
      ...base,
      async commit(scope, ops, opts) {
        const answer = await base.commit(scope, ops, opts)
        if (answer.ok && !opts?.dry) look(ops, (i) => answer.results[i]?.skipped === true)
        return answer
      },
    },
    wrong,
    get commits() {
      return commits
    },
    get largest() {
      return largest
    },
    events: (id) => histories.get(id) ?? [],
  }
}
