import type { Action } from '../core/action.ts'
import type { Hold } from '../core/hold.ts'
import { passing } from '../core/lineage.ts'
import type { Plan } from '../core/plan.ts'
import { cancelOps, emptyKey, putHold } from '../schedules/schedule.ts'
import { endedRecord } from '../schedules/schedules.ts'
import type { After, Tools } from './after.ts'
import { add, type Draft } from './draft.ts'
import type { Parts } from './parts.ts'
import { recordOps } from './record.ts'
import { lineageOf, type Run } from './run.ts'

export interface Effects {
  readonly copies: readonly string[]
  readonly chains: readonly { readonly chain_id: string; readonly chain_name: string }[]
  readonly begun: After['chains']
  readonly warnings: readonly string[]
}

const NO_EFFECTS: Effects = { copies: [], chains: [], begun: [], warnings: [] }

/** Side effects in rule order: copies as holds of their own, executions, cancels. They are part of the admitting commit. */
export function effectOps(parts: Parts, tools: Tools, run: Run, plan: Plan, draft: Draft, now: number): Effects {
  if (plan.effects.length === 0) return NO_EFFECTS
  const copies: string[] = []
  const chains: Effects['chains'][number][] = []
  const begun: After['chains'][number][] = []
  const warnings: string[] = []
  for (const effect of plan.effects) {
    if (effect.kind === 'copy') {
      const hold = copyHold(parts, run, effect.action, effect.targetProvider, effect.rule, now)
      copies.push(hold.action.id)
      add(draft, [putHold(hold, parts.env.newId())])
    } else if (effect.kind === 'chain') {
      const { runId, scope } = run
      const started = tools.chains.startOps({
        chain: effect.chain,
        scope,
        action: effect.action,
        runId,
        now,
        rule: effect.rule,
        lineage: passing(lineageOf(run), `rule:${effect.rule}`, `chain:${effect.chain}`),
      })
      if (!started) {
        const why = tools.chains.disabled(effect.chain) ? 'is switched off' : 'is not defined'
        warnings.push(`chain "${effect.chain}" ${why}; it was not started`)
      } else {
        begun.push({ chainId: started.chainId, at: add(draft, started.ops), claim: started.claim })
        chains.push({ chain_id: started.chainId, chain_name: started.chainName })
      }
    } else {
      const cancelled = cancelOps(draft.keys.get(effect.id) ?? emptyKey(effect.id), run.held && run.runId)
      draft.keys.set(effect.id, cancelled.key)
      add(draft, cancelled.ops, { is: 'moved' })
      for (const ended of cancelled.ended) {
        const by = { caller: run.caller, rule: effect.rule, actionId: run.action.id }
        add(draft, recordOps(parts.audit(), endedRecord(ended, now, by)))
      }
      warnings.push(...cancelled.warnings)
    }
  }
  return { copies, chains, begun, warnings }
}

/** A copy is an action of its own; its quota counts when it is first claimed. */
function copyHold(parts: Parts, run: Run, source: Action, target: string, rule: string, now: number): Hold {
  const { env } = parts
  return {
    kind: 'copy',
    runId: env.newId(),
    auditId: env.newId(),
    action: { ...source, id: env.newId(), provider: target },
    heldAt: now,
    firstDueAt: now,
    parentId: run.action.id,
    // Its rule is passed when it leaves.
    lineage: lineageOf(run),
    rule,
    counted: false,
  }
}
