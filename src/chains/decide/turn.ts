import type { Json } from '../../core/json.ts'
import { cycleOf, passing } from '../../core/lineage.ts'
import type { Op } from '../../core/state.ts'
import type { Deliver } from '../../delivery/delivery.ts'
import type { Chain, ChainStep } from '../model/compiled.ts'
import type { ChainDefinition } from '../model/definition.ts'
import type { ChainEvent, Happening } from '../model/happening.ts'
import { evolve } from '../model/history.ts'
import { type Orphan, type Received, signalOf, take } from '../model/inbox.ts'
import type { Loaded, Undoing } from '../model/loaded.ts'
import { type AuditPolicy, type Forward, stepRecordOps } from '../model/records.ts'
import {
  groupOf,
  groupTask,
  type Run,
  type StepRecord,
  type StepResult,
  stepId,
  type Task,
  taskOf,
} from '../model/run.ts'
import { childRunId, putStep, type Start, type Starter } from '../model/start.ts'
import type { Signal, StepContext } from '../model/step-kind.ts'

/** What a driver needs beside the execution: read anew for each decision, as most of it may be reloaded. */
export interface Tools extends Starter {
  readonly deliver: Deliver
  readonly audit: () => AuditPolicy
  readonly chainOf: (d: ChainDefinition) => Chain
  readonly defaultTimeoutMs: () => number
  /** Of what goes into a step, and of what it gives: as much as the store keeps of it. */
  readonly mostStepBytes: () => number
  /** Entries in one commit, about: as many as the store takes, less what comes with each. */
  readonly mostEntries: () => number
  readonly deadLetterTtlMs: () => number | undefined
  readonly forward: Forward
  /** In [0, 1): for jitter. */
  readonly random: () => number
  /** The entries of an execution about to begin, and how it will stand after their commit. Pure. */
  readonly start: (s: Start) => { readonly ops: readonly Op[]; readonly loaded: Loaded }
}

/** What happens in one commit, about: more is left for the next, so that none grows without bound. */
const MOST_EVENTS = 200

/** Entries that telling one to end writes. */
const OF_ORPHAN = 3

/** Inputs and results of one execution. Bytes. */
export const MOST_BYTES = 10 * 1024 * 1024

export interface How {
  readonly acting: ReadonlySet<string>
  readonly holds: boolean
  readonly resumed: ReadonlySet<string>
}

/**
 * One commit in the making: what happens to an execution, and what is written with it. Built on what is known, thrown away when
 * the commit is refused; nothing outside is touched.
 */
export class Turn {
  readonly tools: Tools
  readonly now: number
  readonly from: Loaded
  readonly events: ChainEvent[] = []
  readonly ops: Op[] = []
  /** Executions these ops give birth to. */
  readonly born: string[] = []
  /** Those it might give birth to, as they would stand. */
  readonly children = new Map<string, Loaded>()
  /** Executions that need not go on. */
  readonly orphans: Orphan[] = []
  /** Keys of what is being acted on here at this moment. */
  readonly acting: ReadonlySet<string>
  /** The process stops: steps are opened, and begun by whoever comes next. */
  readonly holds: boolean
  /** Keys of what an earlier claim may have acted on. */
  readonly resumed: ReadonlySet<string>
  /** The claim ends with this commit, and it is due then. Milliseconds. */
  givesBack: number | undefined
  /** Nothing is left to do: what ends now has been done whole. */
  complete = false
  /** The time of those above it, where an attempt was kept inside of that. Milliseconds. */
  aboveEnds = Number.POSITIVE_INFINITY
  /** There was more to do than one commit takes: the next goes on with it. */
  isCut = false
  /** What is still to be undone, in the order it is to be done; once that has begun. */
  undos: readonly Undoing[]
  run: Run
  results: Map<string, StepResult>
  records: Map<string, StepRecord>
  members: Map<string, StepResult>
  inbox: readonly Received[]

  constructor(tools: Tools, from: Loaded, now: number, how: How) {
    this.tools = tools
    this.now = now
    this.from = from
    this.acting = how.acting
    this.holds = how.holds
    this.resumed = how.resumed
    this.undos = from.undos
    this.run = from.run
    this.results = new Map(from.results)
    this.records = new Map(from.records)
    this.members = new Map(from.members)
    this.inbox = from.inbox
  }

  say(h: Happening): void {
    const event: ChainEvent = { at: this.now, ...h }
    this.events.push(event)
    this.run = evolve(this.run, event)
  }
  step(key: string): ChainStep {
    return this.from.chain.step(key)
  }
  task(key: string): Task | undefined {
    return taskOf(this.run, key)
  }
  /** Under way at a provider, or it was when a node died: its end is still to be had. What is only stored has not been sent. */
  isActing(t: Task): boolean {
    if (this.acting.has(t.key)) return true
    // Once time is up nothing is taken up again.
    if (this.isLate) return false
    return this.resumed.has(t.key) && t.notBefore === undefined && this.records.get(t.key)?.sending !== undefined
  }
  /** The end of its time has been said, or is past while it ends otherwise. */
  get isLate(): boolean {
    const { cause, deadline } = this.run
    return cause !== undefined && (cause.status === 'timed_out' || this.now >= deadline)
  }
  /** Nothing more is begun in this commit, nor let go of. */
  get isFull(): boolean {
    if (this.events.length >= MOST_EVENTS) return true
    // Asked before each thing that is begun: they are counted only where the store has a limit.
    const most = this.tools.mostEntries()
    return most !== Number.POSITIVE_INFINITY && this.entries >= most
  }
  /** Entries these ops write, and places in lists by tag, about. */
  get entries(): number {
    const tags = this.ops.reduce((n, o) => n + (o.op === 'put' ? (o.tags?.length ?? 0) : 0), 0)
    return this.ops.length + tags + this.orphans.length * OF_ORPHAN
  }
  /** An attempt may have been acted on that nobody saw the end of. */
  mayHaveActed(t: Task, record: StepRecord): boolean {
    return record.sending !== undefined && (record.sending.unknown === true || this.resumed.has(t.key))
  }

  keep(record: StepRecord): void {
    this.records.set(record.key, record)
    this.ops.push(putStep(this.run.id, stepId(this.run.id, record.key, record.iteration), record, this.tools.newId()))
  }
  /** The end of a step, in its record, the audit, and for those who refer to it. */
  close(step: ChainStep, record: StepRecord, result: StepResult): void {
    const { run, tools } = this
    this.keep(record)
    this.records.delete(record.key)
    if (groupOf(record.key) === undefined) this.results.set(record.key, result)
    else if (groupTask(run, record)) this.members.set(record.key, result)
    this.ops.push(...stepRecordOps(tools.audit(), run, step.definition, this.from.beginning.origin, record, result))
  }
  /** An execution of this turn's own making that need not be. */
  unborn(child: string): void {
    this.born.splice(this.born.indexOf(child), 1)
    const kept = this.ops.filter((o) => !('id' in o) || (o.id !== child && !o.id.startsWith(`${child}/`)))
    this.ops.splice(0, this.ops.length, ...kept)
  }
  /** A message has been acted on. */
  took(r: Received): void {
    this.ops.push(take(r))
    this.inbox = this.inbox.filter((x) => x.id !== r.id)
  }
  tookSignal(s: Signal, key: string): void {
    const r = this.inbox.find((x) => x.id === s.id)
    if (r) this.took(r)
    this.say({ type: 'signalled', signal: s.name, by: s.by, step: key })
  }

  context(t: Task): StepContext {
    const { run, from, tools, now } = this
    const { beginning, scope } = from
    const ref = prevOf(run, t)
    const before = !ref ? beginning.prev : t.undo ? this.undos[0]?.before : this.results.get(ref.step)
    return {
      scope,
      run,
      task: t,
      origin: beginning.origin,
      results: this.results,
      prev: before,
      now,
      deliver: tools.deliver,
      lineage: beginning.lineage,
      ...itemOf(this, t),
      signal: (name) => this.inbox.map(signalOf).find((s) => s?.name === name),
      child: (name, timeoutMs) => this.#child(t, name, timeoutMs, before),
    }
  }

  #child(t: Task, name: string, timeoutMs: number | undefined, prev: StepResult | undefined) {
    const { run, tools, now } = this
    const { beginning, scope } = this.from
    const definition = beginning.definitions.find((d) => d.name === name)
    if (!definition) throw new Error(`execution ${run.id} began without its sub-chain "${name}"`)
    const cycle = beginning.lineage && cycleOf(beginning.lineage, `chain:${name}`)
    if (cycle && !definition.reentrant) return { cycle }
    const attempt = t.attempt + 1
    const id = childRunId(run.id, t.key, t.iteration, attempt)
    const own = definition.timeout_seconds === undefined ? tools.defaultTimeoutMs() : definition.timeout_seconds * 1000
    const { ops, loaded } = tools.start({
      id,
      scope,
      chain: tools.chainOf(definition),
      // Its own first; the rest is what the parent began with, so that an edit meanwhile reaches neither.
      definitions: [definition, ...beginning.definitions.filter((d) => d !== definition)],
      origin: beginning.origin,
      ...(prev && { prev }),
      ...(beginning.lineage && { lineage: passing(beginning.lineage, `chain:${name}`) }),
      runId: run.runId,
      ...(run.rule !== undefined && { rule: run.rule }),
      parent: { id: run.id, step: t.key, iteration: t.iteration, attempt },
      ...(run.lock && { under: { lock: run.lock.id, root: run.id } }),
      ...(run.under && { under: run.under }),
      timeoutMs: own,
      latest: Math.min(
        run.deadline,
        run.latest ?? Number.POSITIVE_INFINITY,
        now + (timeoutMs ?? Number.POSITIVE_INFINITY),
        groupTask(run, t)?.until ?? Number.POSITIVE_INFINITY,
      ),
      now,
    })
    this.children.set(id, loaded)
    return { id, ops }
  }
}

/** What was before a group was before its members. */
export const prevOf = (run: Run, t: Task): Task['prev'] => t.prev ?? groupTask(run, t)?.prev

/** Of a member of a `for_each`. */
export function itemOf(turn: Turn, t: Task): Pick<StepContext, 'item'> {
  const group = groupOf(t.key)
  const plan = group === undefined ? undefined : turn.step(group).group
  if (group === undefined || !plan) return {}
  const index = plan.indexOf(t.key)
  const item = t.undo ? turn.undos[0]?.record.item : turn.records.get(group)?.items?.[index]
  return item === undefined ? {} : { item: { item, index } }
}

/** Bytes of a value as it is stored. Infinity where no text could hold it: a value may have a large part in many places. */
export function bytesOf(v: Json | readonly Json[] | undefined): number {
  if (v === undefined) return 0
  try {
    return Buffer.byteLength(JSON.stringify(v))
  } catch (e) {
    if (e instanceof RangeError) return Number.POSITIVE_INFINITY
    throw e
  }
}
