import type { Scope } from '../core/action.ts'
import type { Env } from '../core/env.ts'
import { notFound, Problem } from '../core/errors.ts'
import { kinds } from '../core/hold.ts'
import type { JsonObject } from '../core/json.ts'
import type { Entry, Op, StateStore } from '../core/state.ts'
import { LEASE_MS } from '../delivery/lease.ts'
import { openReady } from './advance.ts'
import type { Chains } from './chains.ts'
import { prevOf } from './history-pages.ts'
import { type Loaded, load, readRun } from './loaded.ts'
import { lineUp } from './lock.ts'
import { reopenStep, waitAgain } from './reopen-step.ts'
import { groupOf, hasEnded, type Run, runTags } from './run.ts'
import { putHistory } from './start.ts'
import { type Tools, Turn } from './turn.ts'

export interface ReopenDeps {
  readonly state: StateStore
  readonly env: Env
  readonly owner: string
  readonly tools: Tools
  readonly begin: (scope: Scope, id: string) => void
}
interface Found {
  readonly entry: Entry
  readonly run: Run
}

/** Bringing back executions that have ended: where they failed, or from a step of one's choice. */
export function createReopening({
  state,
  env,
  owner,
  tools,
  begin,
}: ReopenDeps): Pick<Chains, 'retry' | 'reset' | 'resumeFromDeadLetter'> {
  const movedOn = (why: string) => new Problem(409, 'chain_moved_on', `the execution cannot go on at this step: ${why}`)

  async function find(scope: Scope, id: string): Promise<Found> {
    const [entry] = await state.get([{ kind: kinds.run, scope, id }])
    if (!entry) throw notFound('execution')
    return { entry, run: readRun(entry.value) }
  }
  async function loaded(scope: Scope, run: Run): Promise<Loaded> {
    const at = await load(state, scope, run, tools.chainOf)
    if (!at) throw movedOn('what it began with is gone')
    return at
  }
  const turnOf = (at: Loaded): Turn =>
    new Turn(tools, at, env.clock.now(), { acting: new Set(), holds: true, resumed: new Set() })

  /** Why it may not be retried, or the steps at which it failed. */
  function failedSteps(run: Run): readonly string[] {
    if (run.undone)
      throw new Problem(409, 'chain_compensated', 'what the execution did has been undone; start a new one')
    if (run.status === 'failed' || run.status === 'timed_out') {
      const step = run.cause?.step
      if (step === undefined) throw movedOn('it failed at no step of its own')
      return [step]
    }
    if (run.status === 'partially_completed') return run.failures
    throw new Problem(409, 'chain_not_failed', `there is nothing to retry: the execution is ${run.status}`)
  }

  /** Root last: a parent that has taken the failure its own way does not want the child to go on. */
  async function line(scope: Scope, found: Found): Promise<readonly Found[]> {
    const out = [found]
    for (let { parent } = found.run; parent; parent = out.at(-1)!.run.parent) {
      const next = await find(scope, parent.id).catch(() => undefined)
      if (!next) throw movedOn('its parent is gone')
      const at = groupOf(parent.step) ?? parent.step
      if (!hasEnded(next.run) || !failedSteps(next.run).includes(at)) throw movedOn(`its parent is ${next.run.status}`)
      out.push(next)
    }
    return out
  }

  /** One commit for the execution and all that wait for it. */
  async function bringBack(
    scope: Scope,
    found: Found,
    how: { readonly as: 'redriven' | 'retried' | 'reset'; readonly by: string; readonly also?: readonly Op[] },
    change: (turn: Turn) => Promise<void> | void,
    undone: readonly string[],
  ): Promise<void> {
    const all = await line(scope, found)
    const now = env.clock.now()
    const ops: Op[] = []
    let deadline = Number.POSITIVE_INFINITY
    for (const [i, { entry, run }] of [...all.entries()].reverse()) {
      const turn = turnOf(await loaded(scope, run))
      deadline = Math.min(now + run.timeoutMs, deadline)
      const waitsAt = i === 0 ? undefined : all[i - 1]!.run
      const steps = waitsAt ? [groupOf(waitsAt.parent!.step) ?? waitsAt.parent!.step] : undone
      const lock = run.lock && { id: run.lock.id, place: env.newId() }
      turn.say({ type: 'reopened', how: how.as, by: how.by, deadline, undone: steps, ...(lock && { lock }) })
      if (waitsAt) await waitAgain(state, turn, waitsAt)
      else await change(turn)
      const next: Run = { ...turn.run, seq: run.seq + 1 }
      const version = env.newId()
      ops.push(
        {
          op: 'put',
          kind: kinds.run,
          id: run.id,
          value: JSON.stringify(next),
          version,
          tags: runTags(next),
          ifVersion: entry.version,
          ifUnclaimed: true,
          ...(i === 0 ? { claim: { owner, until: now + LEASE_MS } } : { dueAt: deadline }),
        },
        putHistory(run.id, next.seq, turn.events, version),
        ...turn.ops,
        ...(lock ? lineUp(run.id, lock, now, version) : []),
      )
    }
    const done = await state.commit(scope, [...ops, ...(how.also ?? [])])
    if (!done.ok) throw movedOn('it, or its letter, has changed meanwhile')
    begin(scope, found.run.id)
  }
  const told = (run: Run, more: JsonObject): JsonObject => ({ chain_id: run.id, chain_name: run.chain, ...more })

  return {
    async retry(scope, id, by) {
      const found = await find(scope, id)
      if (!hasEnded(found.run)) throw new Problem(409, 'chain_running', 'the execution has not ended')
      const steps = failedSteps(found.run)
      const alone = found.run.status === 'partially_completed'
      const change = async (turn: Turn) => {
        for (const step of steps) await reopenStep(state, turn, step, { alone })
        if (turn.from.chain.graph) openReady(turn)
      }
      await bringBack(scope, found, { as: 'retried', by }, change, steps)
      return told(found.run, { retried: steps })
    },

    async reset(scope, id, { step, by }) {
      const found = await find(scope, id)
      const { run } = found
      if (!hasEnded(run) && !run.paused)
        throw new Problem(409, 'chain_running', 'the execution has not ended; pause or cancel it first')
      if (run.undone) throw new Problem(409, 'chain_compensated', 'what the execution did has been undone')
      const at = await loaded(scope, run)
      if (!at.chain.steps.has(step))
        throw new Problem(422, 'unknown_step', `the execution's chain has no step "${step}"`, {
          errors: [{ pointer: '/step', message: `one of ${[...at.chain.steps.keys()].join(', ')}` }],
        })
      if (!Object.hasOwn(run.entered, step)) throw new Problem(409, 'step_not_taken', `step "${step}" was never taken`)
      const later = laterSteps(at, step)
      const prev = await prevOf(state, scope, run.id, step)
      await bringBack(
        scope,
        found,
        { as: 'reset', by },
        (turn) => {
          for (const t of turn.run.open) turn.say({ type: 'step_dropped', step: t.key })
          turn.say({
            type: 'step_entered',
            step,
            iteration: turn.run.entered[step]!,
            ...(prev && { prev }),
          })
        },
        later,
      )
      return told(run, { reset_to: step, steps: later })
    },

    async resumeFromDeadLetter({ scope, chainId, step, iteration }, also) {
      const found = await find(scope, chainId)
      const { run } = found
      if (!hasEnded(run)) throw movedOn(`it is ${run.status}`)
      const top = groupOf(step) ?? step
      if (run.status === 'completed' || run.status === 'cancelled') throw movedOn(`it is ${run.status}`)
      const steps = failedSteps(run)
      if (!steps.includes(top)) throw movedOn(`it ended at "${steps.join('", "')}"`)
      if (groupOf(step) === undefined && run.entered[step] !== iteration + 1)
        throw movedOn('it has been there again since')
      const alone = run.status === 'partially_completed'
      const change = (turn: Turn) => reopenStep(state, turn, top, { alone })
      await bringBack(scope, found, { as: 'redriven', by: 'redrive', also }, change, [top])
    },
  }
}

/** The step and what came after it: in the order taken, or in a graph what needs it. */
function laterSteps({ run, chain }: Loaded, step: string): readonly string[] {
  if (!chain.graph) {
    const from = run.done.indexOf(step)
    return from < 0 ? [step] : run.done.slice(from)
  }
  const out = new Set([step])
  for (const name of out) for (const s of chain.steps.values()) if (s.needs.includes(name)) out.add(s.name)
  return [...out].filter((n) => Object.hasOwn(run.entered, n))
}
