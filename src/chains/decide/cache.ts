import { kinds } from '../../core/hold.ts'
import { joinParts, sha256 } from '../../core/ids.ts'
import { canonicalJson, type Json } from '../../core/json.ts'
import type { Op, StateStore } from '../../core/state.ts'
import { closure, usesOf } from '../definitions/check-sub-chains.ts'
import type { ChainStep } from '../model/compiled.ts'
import { groupOf, isStraggler, type StepRecord, type StepResult, type Task } from '../model/run.ts'
import { variables } from '../model/variables.ts'
import type { Turn } from './turn.ts'

/**
 * Results that may stand for those of later steps under the same key: of one scope, chain and step, as that is written today.
 * `sends`: what it sends, where it has no key of its own.
 */
function cacheId(turn: Turn, step: ChainStep, task: Task, sends: () => Json | undefined): string {
  const key = step.cache?.key?.render(variables(turn.context(task))) ?? sends() ?? null
  const does = [JSON.stringify(step.definition), ...below(turn, step)]
  return joinParts([
    turn.run.chain,
    groupOf(task.key) ?? '',
    step.name,
    sha256(joinParts([...does, canonicalJson(key)])),
  ])
}
/** Versions of the chains it runs, and of those they do. */
function below(turn: Turn, step: ChainStep): readonly string[] {
  const known = new Map(turn.from.beginning.definitions.map((d) => [d.name, d]))
  const runs = usesOf(step.definition, []).flatMap(({ name }) => closure(name, (n) => known.get(n)) ?? [])
  return runs.map((d) => turn.tools.chainOf(d).version)
}

/** What an earlier entry under its key gave, if that is still good. */
export async function cached(state: StateStore, turn: Turn, task: Task): Promise<StepResult | undefined> {
  const step = turn.step(task.key)
  const id = cacheId(turn, step, task, () => step.does.enter(turn.context(task)).record.input)
  const [entry] = await state.get([{ kind: kinds.stepCache, scope: turn.from.scope, id }])
  return entry && (JSON.parse(entry.value) as StepResult)
}

export function cacheOps(turn: Turn, step: ChainStep, record: StepRecord): readonly Op[] {
  const task = turn.task(record.key)
  if (!task || !step.cache || !record.result) return []
  // What its key was made of may be gone, or be another's by now.
  if (step.cache.key && isStraggler(turn.run, task)) return []
  return [
    {
      op: 'put',
      kind: kinds.stepCache,
      id: cacheId(turn, step, task, () => record.input),
      value: JSON.stringify(record.result),
      version: turn.tools.newId(),
      expiresAt: turn.now + step.cache.ttlMs,
    },
  ]
}
