import { kinds } from '../core/hold.ts'
import { passing } from '../core/lineage.ts'
import type { Op } from '../core/state.ts'
import type { Deliver } from '../delivery/delivery.ts'
import { advance, type ChainEvent } from './advance.ts'
import type { Chain } from './compile.ts'
import type { ChainDefinition } from './definition.ts'
import type { Loaded } from './load.ts'
import { type AuditPolicy, deadLetterOps, type Forward, runRecordOps, stepRecordOps } from './records.ts'
import { childEndId, hasEnded, type Run, type StepRecord, type StepResult } from './run.ts'
import { childRunId, putStep, type Starter, startOps } from './start.ts'
import type { ChainStep, Entered, Failure, StepContext } from './step-kind.ts'

/** What a driver needs beside the execution: read anew for each decision, as most of it may be reloaded. */
export interface Tools extends Starter {
  readonly deliver: Deliver
  readonly audit: () => AuditPolicy
  readonly chainOf: (d: ChainDefinition) => Chain
  readonly defaultTimeoutMs: () => number
  readonly deadLetterTtlMs: () => number | undefined
  readonly forward: Forward
}

/** What one commit is to make of an execution. */
export interface Decision {
  readonly run: Run
  /** Beside the execution's own put. */
  readonly ops: readonly Op[]
  /** The claim ends, and it is due then. Left out: it goes on (or has ended). */
  readonly dueAt?: number
  /** An execution these ops give birth to. */
  readonly child?: string
  /** As it stands after the commit, for a driver that goes on. */
  readonly after: Loaded
}

export const stepOf = (at: Loaded): ChainStep => {
  const step = at.chain.steps.get(at.run.at.step)
  if (!step) throw new Error(`execution ${at.run.id} is at "${at.run.at.step}", which its chain has not`)
  return step
}

export function contextOf(tools: Tools, at: Loaded, now: number): StepContext {
  const { run, beginning, scope } = at
  return {
    scope,
    run,
    step: stepOf(at),
    origin: beginning.origin,
    lineage: beginning.lineage,
    results: at.results,
    prev: at.prev,
    now,
    deliver: tools.deliver,
    child(name, timeoutMs) {
      const definition = beginning.definitions.find((d) => d.name === name)
      if (!definition) throw new Error(`execution ${run.id} began without its sub-chain "${name}"`)
      const { step, iteration } = run.at
      const id = childRunId(run.id, step, iteration)
      const own =
        definition.timeout_seconds === undefined ? tools.defaultTimeoutMs() : definition.timeout_seconds * 1000
      const ops = startOps(
        {
          id,
          scope,
          chain: tools.chainOf(definition),
          // Its own first; the rest is what the parent began with, so that an edit meanwhile reaches neither.
          definitions: [definition, ...beginning.definitions.filter((d) => d !== definition)],
          origin: beginning.origin,
          ...(at.prev && { prev: at.prev }),
          ...(beginning.lineage && { lineage: passing(beginning.lineage, `chain:${name}`) }),
          runId: run.runId,
          ...(run.rule !== undefined && { rule: run.rule }),
          parent: { id: run.id, step, iteration },
          timeoutMs: Math.min(timeoutMs ?? own, own),
          deadline: run.deadline,
          now,
        },
        tools,
      )
      return { id, ops }
    },
  }
}

/** Renders the step it is at, and stores what must be stored before it acts. */
export function enterStep(tools: Tools, at: Loaded, entered: Entered): Decision {
  const { run } = at
  const facts = { origin: at.beginning.origin, results: at.results }
  const { record } = entered
  const ops: Op[] = entered.store ? [putStep(run.id, record, tools.newId()), ...(entered.ops ?? [])] : []
  const after: Loaded = { ...at, record }
  if (!entered.waits) return { run, ops, after }
  const waiting = advance(at.chain, run, { type: 'waits', child: entered.child }, facts, record.enteredAt)
  return {
    run: waiting,
    ops,
    dueAt: run.deadline,
    after: { ...after, run: waiting },
    ...(entered.child !== undefined && { child: entered.child }),
  }
}

/** The step is over: its result, its record and where the execution goes, with what the next step needs, in one commit. */
export function stepEnded(
  tools: Tools,
  at: Loaded,
  record: StepRecord,
  failure: Failure,
  now: number,
  stopping: boolean,
  event: ChainEvent = { type: 'step_ended', result: failure.result },
): Decision {
  const { run, beginning } = at
  const { result, undelivered } = failure
  const results = new Map(at.results).set(record.step, result)
  const facts = { origin: beginning.origin, results }
  let next = advance(at.chain, run, event, facts, now)
  if (at.cancel) next = advance(at.chain, next, { type: 'cancelled', by: at.cancel.request.by }, facts, now)

  const letter = undelivered && { id: tools.newId(), now, ttlMs: tools.deadLetterTtlMs(), forward: tools.forward }
  const { sending: _sent, ...kept } = record
  const ended: StepRecord = { ...kept, endedAt: now, result, ...(letter && { deadLetterId: letter.id }) }
  const ops: Op[] = [
    putStep(run.id, ended, tools.newId()),
    ...stepRecordOps(tools.audit(), run, at.chain, beginning.origin, ended, result),
    ...(undelivered && letter ? deadLetterOps(run, record, undelivered, result, letter) : []),
    // The message has become the result.
    ...(at.childEnd
      ? [{ op: 'delete', kind: kinds.inbox, id: childEndId(run.id, record.step, record.iteration) } as const]
      : []),
  ]
  const after: Loaded = { ...at, run: next, results, prev: result, record: undefined, childEnd: undefined }
  if (hasEnded(next)) return { run: next, ops, after }
  if (stopping) return { run: next, ops, dueAt: now, after }

  const step = stepOf(after)
  const entered = step.kind.enter(step.definition, contextOf(tools, after, now))
  // What fails or is missing before anything is stored is looked at again, by itself.
  if (entered.failed || entered.lacks !== undefined) return { run: next, ops, after }
  const entry = enterStep(tools, after, entered)
  return { ...entry, ops: [...ops, ...entry.ops] }
}

/** Back-off, or a stop: it goes on at `dueAt`, and no stray wake-up before. */
export function handBack(tools: Tools, at: Loaded, record: StepRecord, dueAt: number, now: number): Decision {
  const facts = { origin: at.beginning.origin, results: at.results }
  const run = advance(at.chain, at.run, { type: 'handed_back', dueAt }, facts, now)
  const ops = [putStep(run.id, record, tools.newId())]
  return { run, ops, dueAt: Math.min(dueAt, run.deadline), after: { ...at, run, record } }
}

/** An end that is no step's: a cancel. Nothing is sent any more. */
export function cancelled(at: Loaded, by: string, now: number): Decision {
  const facts = { origin: at.beginning.origin, results: at.results }
  const run = advance(at.chain, at.run, { type: 'cancelled', by }, facts, now)
  return { run, ops: [], after: { ...at, run } }
}

/**
 * The deadline has passed. What its step was to send, or may have sent without anyone having seen the end of it, becomes a dead
 * letter: what was accepted does not vanish.
 */
export function timedOut(
  tools: Tools,
  at: Loaded,
  now: number,
  resuming: boolean,
  /** Where the step was not entered yet: what it would have sent. */
  entered: Entered | undefined,
): Decision {
  const { run } = at
  const record = at.record ?? entered?.record
  const error = { code: 'timed_out', message: `not done within ${run.timeoutMs / 1000} s` }
  const result: StepResult = { success: false, fallback: false, status: null, body: null, error }
  const { step: name, iteration, since } = run.at
  const sending = record?.sending
  const undelivered =
    entered?.undelivered ??
    entered?.failed?.undelivered ??
    (sending && {
      action: sending.action,
      provider: sending.provider,
      requested: sending.action.provider ?? sending.provider,
      token: sending.token,
      request: sending.request,
      unknown: at.record !== undefined && resuming,
      lineage: at.beginning.lineage,
    })
  const ended = record ?? { step: name, iteration, seq: run.taken, enteredAt: since }
  return stepEnded(tools, at, ended, { result, ...(undelivered && { undelivered }) }, now, false, {
    type: 'timed_out',
  })
}

/** The execution's own record, once it has ended. */
export const endRecordOps = (tools: Tools, d: Decision): readonly Op[] =>
  runRecordOps(tools.audit(), d.run, d.after.beginning.origin)
