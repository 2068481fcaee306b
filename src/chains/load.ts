import type { Scope } from '../core/action.ts'
import { kinds } from '../core/hold.ts'
import type { Entry, StateStore } from '../core/state.ts'
import type { Chain } from './compile.ts'
import type { ChainDefinition } from './definition.ts'
import {
  type Beginning,
  beginningId,
  type CancelRequest,
  type ChildEnd,
  cancelId,
  childEndId,
  endedIterations,
  type Run,
  type StepRecord,
  type StepResult,
  stepId,
} from './run.ts'

export const readRun = (value: string): Run => JSON.parse(value) as Run
export const readRecord = (value: string): StepRecord => JSON.parse(value) as StepRecord
export const readBeginning = (value: string): Beginning => JSON.parse(value) as Beginning

export interface Cancel {
  readonly request: CancelRequest
  readonly version: string
}
export const readCancel = (entry: Entry | undefined): Cancel | undefined =>
  entry && { request: JSON.parse(entry.value) as CancelRequest, version: entry.version }

/** An execution as its driver holds it: the record, and what the record points to. */
export interface Loaded {
  readonly scope: Scope
  readonly run: Run
  readonly chain: Chain
  readonly beginning: Beginning
  readonly results: ReadonlyMap<string, StepResult>
  readonly prev: StepResult | undefined
  /** Of the step it is at, if that was stored. */
  readonly record: StepRecord | undefined
  readonly childEnd: ChildEnd | undefined
  readonly cancel: Cancel | undefined
}

/** Reads what the record points to, in one round trip. Undefined: what it began with is gone, so it can only end. */
export async function load(
  state: StateStore,
  scope: Scope,
  run: Run,
  chainOf: (d: ChainDefinition) => Chain,
): Promise<Loaded | undefined> {
  const { at } = run
  const ended = endedIterations(run)
  const ids = {
    begin: beginningId(run.id),
    here: stepId(run.id, at.step, at.iteration),
    prev: at.prev && stepId(run.id, at.prev.step, at.prev.iteration),
  }
  const steps = [
    ...new Set([
      ids.begin,
      ids.here,
      ...(ids.prev ? [ids.prev] : []),
      ...ended.map((e) => stepId(run.id, e.step, e.iteration)),
    ]),
  ]
  const inbox = [cancelId(run.id), childEndId(run.id, at.step, at.iteration)]
  const entries = await state.get([
    ...inbox.map((id) => ({ kind: kinds.inbox, scope, id })),
    ...steps.map((id) => ({ kind: kinds.step, scope, id })),
  ])
  const found = new Map<string, string>()
  for (const [i, id] of steps.entries()) {
    const entry = entries[inbox.length + i]
    if (entry) found.set(id, entry.value)
  }
  const record = (id: string | undefined): StepRecord | undefined => {
    const value = id === undefined ? undefined : found.get(id)
    return value === undefined ? undefined : readRecord(value)
  }
  const begin = found.get(ids.begin)
  if (begin === undefined) return undefined
  const beginning = readBeginning(begin)
  const definition = beginning.definitions[0]
  if (!definition) throw new Error(`execution ${run.id} began without a definition`)

  const results = new Map<string, StepResult>()
  for (const e of ended) {
    const result = record(stepId(run.id, e.step, e.iteration))?.result
    if (result) results.set(e.step, result)
  }
  const childEnd = entries[1]
  return {
    scope,
    run,
    chain: chainOf(definition),
    beginning,
    results,
    prev: at.prev ? record(ids.prev)?.result : beginning.prev,
    record: record(ids.here),
    childEnd: childEnd && (JSON.parse(childEnd.value) as ChildEnd),
    cancel: readCancel(entries[0]),
  }
}
