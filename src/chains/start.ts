import type { Action, Scope } from '../core/action.ts'
import { kinds } from '../core/hold.ts'
import { uuidv7Of, uuidv7Time } from '../core/ids.ts'
import type { Lineage } from '../core/lineage.ts'
import type { Op } from '../core/state.ts'
import type { Deliver } from '../delivery/delivery.ts'
import { LEASE_MS } from '../delivery/lease.ts'
import type { Chain } from './compile.ts'
import type { ChainDefinition } from './definition.ts'
import { type Beginning, beginningId, type Run, runTags, type StepRecord, type StepResult, stepId } from './run.ts'
import type { StepContext } from './step-kind.ts'

export interface Start {
  readonly id: string
  readonly scope: Scope
  readonly chain: Chain
  /** With every sub-chain it can reach. */
  readonly definitions: readonly ChainDefinition[]
  readonly origin: Action
  readonly prev?: StepResult
  readonly lineage?: Lineage
  /** Of the admission. */
  readonly runId: string
  readonly rule?: string
  readonly parent?: NonNullable<Run['parent']>
  readonly timeoutMs: number
  /** No later than this. */
  readonly deadline?: number
  readonly now: number
}
export interface Starter {
  readonly deliver: Deliver
  readonly owner: string
  readonly newId: () => string
}

/** Begins with the moment of the admission, so that executions list in the order they began; else a function of what started it. */
export const rootId = (auditId: string, runId: string, rule: string): string =>
  uuidv7Of(uuidv7Time(auditId), 'chain', runId, rule)
/** A child is a function of its parent, step and iteration: made twice, it is one. */
export const childRunId = (parent: string, step: string, iteration: number): string =>
  uuidv7Of(uuidv7Time(parent), 'child', parent, step, String(iteration))

/**
 * An execution that has ended is kept until it is purged; an expiry, however far off, says to the store that it is no work and that
 * no wake-up makes it due. What belongs to one under way has none: work never expires.
 */
export const KEPT_FOR_EVER = Date.UTC(9999, 11, 31)

/**
 * The entries of an execution about to begin: it, what it began with, and where the first step can be rendered, what that step
 * sends, so that its first byte needs no commit of its own. Born claimed: whoever commits them drives it.
 */
export function startOps(s: Start, { deliver, owner, newId }: Starter): readonly Op[] {
  const { chain, now } = s
  const deadline = Math.min(now + s.timeoutMs, s.deadline ?? Number.POSITIVE_INFINITY)
  const run: Run = {
    v: 1,
    id: s.id,
    chain: chain.name,
    version: chain.version,
    totalSteps: chain.steps.size,
    actionId: s.origin.id,
    runId: s.runId,
    ...(s.rule !== undefined && { rule: s.rule }),
    ...(s.parent && { parent: s.parent }),
    startedAt: now,
    timeoutMs: s.timeoutMs,
    deadline,
    status: 'running',
    at: { step: chain.first, iteration: 0, since: now },
    entered: { [chain.first]: 1 },
    taken: 0,
    resumed: 0,
  }
  const beginning: Beginning = {
    origin: s.origin,
    ...(s.prev && { prev: s.prev }),
    definitions: s.definitions,
    ...(s.lineage && { lineage: s.lineage }),
  }
  const ops: Op[] = [
    {
      op: 'put',
      kind: kinds.run,
      id: s.id,
      value: JSON.stringify(run),
      version: newId(),
      tags: runTags(run),
      ifVersion: null,
      claim: { owner, until: now + LEASE_MS },
    },
    {
      op: 'put',
      kind: kinds.step,
      id: beginningId(s.id),
      value: JSON.stringify(beginning),
      version: newId(),
    },
  ]
  const step = chain.steps.get(chain.first)!
  const at: StepContext = { ...s, run, step, prev: s.prev, results: new Map(), deliver, child: () => noChild() }
  if (step.kind.startsAtOnce) {
    const entered = step.kind.enter(step.definition, at)
    if (entered.store) ops.push(putStep(s.id, entered.record, newId()))
  }
  return ops
}

export const putStep = (runId: string, record: StepRecord, version: string): Op => ({
  op: 'put',
  kind: kinds.step,
  id: stepId(runId, record.step, record.iteration),
  value: JSON.stringify(record),
  version,
})

function noChild(): never {
  throw new Error('a step that starts at once starts no other execution')
}
