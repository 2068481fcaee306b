import type { Chains } from '../chains/chains.ts'
import { readRun } from '../chains/model/loaded.ts'
import { endedStatuses, runStatuses, statusTag } from '../chains/model/run.ts'
import type { Scope } from '../core/action.ts'
import { Problem } from '../core/errors.ts'
import { kinds } from '../core/hold.ts'
import { joinParts } from '../core/ids.ts'
import type { StateStore } from '../core/state.ts'
import { BUFFER, type Groups } from '../groups/groups.ts'
import type { Schedules } from '../schedules/schedules.ts'

/** What became of the work a rule had queued, in wire names. A type, so that it is JSON. */
export type CancelledHeld = {
  readonly scheduled: number
  readonly copies: number
  readonly group_events: number
  /** Executions asked to end. */
  readonly chains: number
  /** Past cancelling: on their way out already. */
  readonly being_released: number
  /** There was more than is looked at in one go: ask again. */
  readonly more?: true
}

export interface CancelHeldDeps {
  readonly state: Pick<StateStore, 'scopes' | 'list'>
  readonly schedules: Pick<Schedules, 'cancelOf'>
  readonly groups: Pick<Groups, 'cancelOf'>
  readonly chains: Pick<Chains, 'cancel'>
}
/** Ends what a rule holds and has started, in one scope or in every one. Each is ended and audited by itself; what is sent already is not called back. */
export type CancelHeld = (rule: string, scope: Scope | undefined, by: string) => Promise<CancelledHeld>

const SCOPES = 100
const EXECUTIONS = 500
const open = runStatuses.filter((s) => !(endedStatuses as readonly string[]).includes(s))

export function cancelHeld({ state, schedules, groups, chains }: CancelHeldDeps): CancelHeld {
  /** Every scope in which anything is queued, each once. */
  async function* scopes(): AsyncGenerator<Scope> {
    const seen = new Set<string>()
    for (const kind of [kinds.scheduled, kinds.copy, BUFFER, kinds.flush, kinds.run]) {
      let after: Scope | undefined
      do {
        const page = await state.scopes(kind, { limit: SCOPES, ...(after && { after }) })
        for (const scope of page) if (isNew(seen, joinParts(scope))) yield scope
        after = page.length === SCOPES ? page.at(-1) : undefined
      } while (after)
    }
  }

  /** One that is at work may change its status under our eyes, so the list is gone through until it has nothing new. */
  async function cancelChains(rule: string, scope: Scope, by: string): Promise<number> {
    const asked = new Set<string>()
    let ended = 0
    for (let before = -1; before < asked.size; ) {
      before = asked.size
      for (const status of open) {
        let after: string | undefined
        do {
          const where = { tag: statusTag(status), limit: EXECUTIONS, ...(after !== undefined && { after }) }
          const page = await state.list(kinds.run, scope, where)
          for (const run of page.entries.map((e) => readRun(e.value))) {
            // A sub-chain ends with its root.
            if (run.rule !== rule || run.parent || !isNew(asked, run.id)) continue
            if (!(await cancelChain(scope, run.id, by))) ended++
          }
          after = page.next
        } while (after !== undefined)
      }
    }
    return asked.size - ended
  }
  async function cancelChain(scope: Scope, id: string, by: string): Promise<boolean> {
    try {
      await chains.cancel(scope, id, by)
      return true
    } catch (e) {
      if (e instanceof Problem && (e.code === 'chain_ended' || e.code === 'not_found')) return false
      throw e
    }
  }

  async function inScope(rule: string, scope: Scope, by: string): Promise<CancelledHeld> {
    const [scheduled, copies, events, executions] = await Promise.all([
      schedules.cancelOf('scheduled', scope, rule, by),
      schedules.cancelOf('copy', scope, rule, by),
      groups.cancelOf(scope, rule, by),
      cancelChains(rule, scope, by),
    ])
    return {
      scheduled: scheduled.cancelled,
      copies: copies.cancelled,
      group_events: events.cancelled,
      chains: executions,
      being_released: scheduled.beingReleased + copies.beingReleased + events.beingReleased,
      ...(!(scheduled.all && copies.all && events.all) && { more: true as const }),
    }
  }

  return async (rule, scope, by) => {
    if (scope) return inScope(rule, scope, by)
    let sum: CancelledHeld = { scheduled: 0, copies: 0, group_events: 0, chains: 0, being_released: 0 }
    for await (const one of scopes()) sum = plus(sum, await inScope(rule, one, by))
    return sum
  }
}

function isNew(seen: Set<string>, what: string): boolean {
  if (seen.has(what)) return false
  seen.add(what)
  return true
}

const plus = (a: CancelledHeld, b: CancelledHeld): CancelledHeld => ({
  scheduled: a.scheduled + b.scheduled,
  copies: a.copies + b.copies,
  group_events: a.group_events + b.group_events,
  chains: a.chains + b.chains,
  being_released: a.being_released + b.being_released,
  ...((a.more ?? b.more) && { more: true as const }),
})
