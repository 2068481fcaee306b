import type { Scope } from '../../core/action.ts'
import { notFound, Problem } from '../../core/errors.ts'
import { kinds } from '../../core/hold.ts'
import type { JsonObject } from '../../core/json.ts'
import type { StateStore } from '../../core/state.ts'
import type { Chains } from '../chains.ts'
import type { Turn } from '../decide/turn.ts'
import { letGo } from '../decide/wind-down.ts'
import { pastOf } from '../model/history-pages.ts'
import { type Loaded, memberIds, readRecord } from '../model/loaded.ts'
import { groupOf, hasEnded, type Run, stepId } from '../model/run.ts'
import { type Found, findRun, isLatest, unfinishedSteps } from './reopen-step.ts'
import { type Change, loaded, movedOn, type RevivalDeps, revive, stepsAgain } from './revival.ts'
import { undoAgain } from './undo-again.ts'

export interface ReopenDeps extends RevivalDeps {
  readonly begin: (scope: Scope, id: string) => void
  /** Something else may be due now. */
  readonly woke: () => void
}

/** Bringing back executions that have ended: where they failed, or from a step of one's choice. */
export function createReopening(deps: ReopenDeps): Pick<Chains, 'retry' | 'reset' | 'resumeFromDeadLetter'> {
  const { state, tools, begin, woke } = deps

  async function find(scope: Scope, id: string): Promise<Found> {
    const found = await findRun(state, scope, id)
    if (!found) throw notFound('execution')
    return found
  }
  async function bringBack(scope: Scope, found: Found, ...how: [Parameters<typeof revive>[3], Change]): Promise<void> {
    await revive(deps, scope, found, ...how)
    begin(scope, found.run.id)
    woke()
  }
  const told = (run: Run, more: JsonObject): JsonObject => ({ chain_id: run.id, chain_name: run.chain, ...more })

  return {
    async retry(scope, id, by) {
      const found = await find(scope, id)
      const { run } = found
      if (!hasEnded(run)) throw new Problem(409, 'chain_running', 'the execution has not ended')
      const { steps, alone } = mayRetry(await loaded(state, scope, run, tools))
      await bringBack(scope, found, { as: 'retried', by }, stepsAgain(state, steps, alone))
      return told(run, { retried: steps })
    },

    async reset(scope, id, { step, by }) {
      const found = await find(scope, id)
      const { run } = found
      if (!hasEnded(run) && !run.paused)
        throw new Problem(409, 'chain_running', 'the execution has not ended; pause or cancel it first')
      if (!hasEnded(run) && found.entry.claim)
        throw new Problem(
          409,
          'chain_running',
          'the execution is paused, and a step that was under way is let finish first; ask again then',
        )
      if (run.undone) throw undone()
      const at = await loaded(state, scope, run, tools)
      if (!at.chain.steps.has(step))
        throw new Problem(422, 'unknown_step', `the execution's chain has no step "${step}"`, {
          errors: [{ pointer: '/step', message: `one of ${[...at.chain.steps.keys()].join(', ')}` }],
        })
      if (!Object.hasOwn(run.entered, step)) throw new Problem(409, 'step_not_taken', `step "${step}" was never taken`)
      const later = laterSteps(at, step)
      await bringBack(scope, found, { as: 'reset', by }, backTo(state, step, later))
      return told(run, { reset_to: step, steps: later })
    },

    async resumeFromDeadLetter({ scope, chainId, step, iteration, undo }, also) {
      const found = await find(scope, chainId)
      if (undo) {
        await undoAgain(deps, scope, found, { key: step, iteration }, also)
        begin(scope, chainId)
        return
      }
      const { run } = found
      if (!hasEnded(run) || run.status === 'completed' || run.status === 'cancelled')
        throw movedOn(`it is ${run.status}`)
      const at = await loaded(state, scope, run, tools)
      const { steps, alone } = mayRetry(at)
      const top = groupOf(step) ?? step
      if (!steps.includes(top)) throw movedOn(`it ended at "${steps.join('", "')}"`)
      if (!(await isLatest(state, at, step, iteration))) throw movedOn('it has been there again since')
      // What else failed must be done again too, or it could not go on; unless it was done but for that.
      const change = stepsAgain(state, alone ? [top] : steps, alone)
      await bringBack(scope, found, { as: 'redriven', by: 'redrive', also }, change)
    },
  }
}

const undone = (): Problem =>
  new Problem(409, 'chain_compensated', 'what the execution did has been undone; start a new one')

/** The steps at which it failed. Throws where there is nothing to retry. */
function mayRetry({ run, chain }: Loaded): ReturnType<typeof unfinishedSteps> {
  if (run.undone) throw undone()
  const { status } = run
  if (status !== 'failed' && status !== 'timed_out' && status !== 'partially_completed')
    throw new Problem(409, 'chain_not_failed', `there is nothing to retry: the execution is ${status}`)
  const found = unfinishedSteps(run, chain)
  // Time ran out between two steps of a graph: it goes on with what is ready.
  if (found.steps.length === 0 && !chain.graph) throw movedOn('it failed at no step of its own')
  return found
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

function backTo(state: StateStore, step: string, later: readonly string[]): Change {
  return {
    undone: later,
    async apply(turn) {
      const { graph } = turn.from.chain
      for (const t of turn.run.open) {
        // In a graph what does not need the step is let be.
        if (graph && !later.includes(groupOf(t.key) ?? t.key)) continue
        letGo(turn, t, true)
      }
      for (const id of await lettersOf(state, turn, [...later, ...failedIn(turn, later)]))
        turn.ops.push({ op: 'delete', kind: kinds.deadLetter, id })
      const { prev } = await pastOf(state, turn.from.scope, turn.run.id, step)
      turn.say({ type: 'step_entered', step, iteration: turn.run.entered[step]!, ...(prev && { prev }) })
      return []
    },
  }
}

/** Steps that are not done and not under way: they failed, and it goes on to them again or, once it takes another way, never will. */
const failedIn = ({ run }: Turn, later: readonly string[]): readonly string[] =>
  Object.keys(run.entered).filter(
    (name) =>
      !later.includes(name) && !run.done.includes(name) && !run.open.some((t) => (groupOf(t.key) ?? t.key) === name),
  )

/** What these steps could not deliver when they were last taken: it is done again, so nobody is to redrive it. */
async function lettersOf(state: StateStore, turn: Turn, steps: readonly string[]): Promise<readonly string[]> {
  const { run, from } = turn
  const read = async (ids: readonly string[]) => {
    const entries = await state.get(ids.map((id) => ({ kind: kinds.step, scope: from.scope, id })))
    return entries.flatMap((e) => (e ? [readRecord(e.value)] : []))
  }
  const records = await read(steps.map((s) => stepId(run.id, s, run.entered[s]! - 1)))
  const members = records.flatMap((r) => {
    const { group: plan, definition } = turn.step(r.key)
    if (!plan) return []
    const total = 'parallel' in definition ? definition.parallel.branches.length : (r.items?.length ?? 0)
    return memberIds(run, { ...r, group: { total } }, r, plan).map((m) => m.id)
  })
  return [...records, ...(await read(members))].flatMap((r) => r.deadLetterId ?? [])
}
