import type { Scope } from '../../core/action.ts'
import { kinds } from '../../core/hold.ts'
import type { Page, StateStore } from '../../core/state.ts'
import type { Chain } from './compiled.ts'
import type { ChainDefinition } from './definition.ts'
import { type Received, readInbox } from './inbox.ts'
import {
  type Beginning,
  beginningId,
  endedIterations,
  groupOf,
  type Run,
  type StepRecord,
  type StepResult,
  stepId,
  type Task,
  undoId,
  undoTag,
} from './run.ts'

export const readRun = (value: string): Run => JSON.parse(value) as Run
export const readRecord = (value: string): StepRecord => JSON.parse(value) as StepRecord
export const readBeginning = (value: string): Beginning => JSON.parse(value) as Beginning

/** An execution as its driver holds it: the record, and what the record points to. */
export interface Loaded {
  readonly scope: Scope
  readonly run: Run
  readonly chain: Chain
  readonly beginning: Beginning
  /** The latest result of each step. */
  readonly results: ReadonlyMap<string, StepResult>
  /** Of what is open, as far as it was stored, by key. */
  readonly records: ReadonlyMap<string, StepRecord>
  /** Results of members of open groups, by key. */
  readonly members: ReadonlyMap<string, StepResult>
  readonly inbox: readonly Received[]
  /** While it is compensating: what is still to be undone, what was done last first. */
  readonly undos: readonly Undoing[]
}
/** A step to be undone, and the result of the one before it, as the step saw it: that one may have run again since. */
export interface Undoing {
  readonly record: StepRecord
  readonly before?: StepResult
}

export const recordId = (run: Run, t: Pick<Task, 'key' | 'iteration' | 'undo'>): string =>
  t.undo ? undoId(run.id, t.key, t.iteration) : stepId(run.id, t.key, t.iteration)

/** Reads what the record points to, in two round trips at most. Undefined: what it began with is gone, so it can only end. */
export async function load(
  state: StateStore,
  scope: Scope,
  run: Run,
  chainOf: (d: ChainDefinition) => Chain,
): Promise<Loaded | undefined> {
  const ended = endedIterations(run)
  const ids = [
    beginningId(run.id),
    ...ended.map((e) => stepId(run.id, e.step, e.iteration)),
    ...run.open.map((t) => recordId(run, t)),
    // What is undone says what it undoes: its result is part of what the undoing may refer to.
    ...run.open.filter((t) => t.undo).map((t) => stepId(run.id, t.key, t.iteration)),
  ]
  const [entries, inbox] = await Promise.all([
    state.get(ids.map((id) => ({ kind: kinds.step, scope, id }))),
    readInbox(state, scope, run.id),
  ])
  const found = new Map<string, string>()
  for (const entry of entries) if (entry) found.set(entry.key.id, entry.value)
  const record = (id: string): StepRecord | undefined => {
    const value = found.get(id)
    return value === undefined ? undefined : readRecord(value)
  }
  const begin = found.get(beginningId(run.id))
  if (begin === undefined) return undefined
  const beginning = readBeginning(begin)
  const definition = beginning.definitions[0]
  if (!definition) throw new Error(`execution ${run.id} began without a definition`)

  const results = new Map<string, StepResult>()
  for (const e of ended) {
    const result = record(stepId(run.id, e.step, e.iteration))?.result
    if (result) results.set(e.step, result)
  }
  const records = new Map<string, StepRecord>()
  for (const t of run.open) {
    const r = record(recordId(run, t))
    if (r) records.set(t.key, r)
  }
  const chain = chainOf(definition)
  return {
    scope,
    run,
    chain,
    beginning,
    results,
    records,
    members: await loadMembers(state, scope, run, chain, records),
    inbox,
    undos: run.status === 'compensating' ? await readUndos(state, scope, run.id) : [],
  }
}

/** What an execution has done, or may have done, that says how it is undone. */
export async function readUndos(state: StateStore, scope: Scope, runId: string): Promise<readonly Undoing[]> {
  const found: StepRecord[] = []
  for (let after: string | undefined = ''; after !== undefined; ) {
    const page: Page = await state.list(kinds.step, scope, {
      tag: undoTag(runId),
      limit: 200,
      ...(after !== '' && { after }),
    })
    after = page.next
    for (const entry of page.entries) found.push(readRecord(entry.value))
  }
  const endedAt = (r: StepRecord): number => r.endedAt ?? Number.POSITIVE_INFINITY
  found.sort((a, b) => endedAt(b) - endedAt(a) || b.seq - a.seq)
  const before = ({ prev }: StepRecord): string => (prev ? stepId(runId, prev.step, prev.iteration) : '')
  const ids = [...new Set(found.map(before))].filter((id) => id !== '')
  const entries = await state.get(ids.map((id) => ({ kind: kinds.step, scope, id })))
  const results = new Map(entries.map((e, i) => [ids[i]!, e && readRecord(e.value).result]))
  return found.map((record) => {
    const result = results.get(before(record))
    return { record, ...(result && { before: result }) }
  })
}

/** What the members of open groups have come to. */
async function loadMembers(
  state: StateStore,
  scope: Scope,
  run: Run,
  chain: Chain,
  records: ReadonlyMap<string, StepRecord>,
): Promise<ReadonlyMap<string, StepResult>> {
  const members = new Map<string, StepResult>()
  for (const task of run.open) {
    const plan = groupOf(task.key) === undefined ? chain.step(task.key).group : undefined
    // One that waits to be tried again keeps what its members gave before.
    if (!plan || !(task.group || records.get(task.key)?.ranIn)) continue
    const keys = memberIds(run, task, records.get(task.key), plan)
    const entries = await state.get(keys.map(({ id }) => ({ kind: kinds.step, scope, id })))
    entries.forEach((entry, i) => {
      const result = entry && readRecord(entry.value).result
      if (result) members.set(keys[i]!.key, result)
    })
  }
  return members
}

/** Where the result of each member of a group stands, those not run yet included. */
export function memberIds(
  run: Pick<Run, 'id'>,
  group: Pick<Task, 'key' | 'iteration'> & { readonly group?: { readonly total: number } },
  record: StepRecord | undefined,
  plan: NonNullable<ReturnType<Chain['step']>['group']>,
): readonly { readonly key: string; readonly index: number; readonly id: string }[] {
  return Array.from({ length: group.group?.total ?? record?.ranIn?.length ?? 0 }, (_, index) => {
    const key = `${group.key}.${plan.member(index).name}`
    return { key, index, id: stepId(run.id, key, record?.ranIn?.[index] ?? group.iteration) }
  })
}
