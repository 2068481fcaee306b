import type { JsonObject } from '../../core/json.ts'
import type { Redact } from '../../core/redact.ts'
import { type WayKind, waysOf } from '../definitions/ways.ts'
import { type ChainDefinition, innerSteps, isGraph, type StepDefinition } from '../model/definition.ts'
import { kindOf } from '../steps/index.ts'

/** A definition as nodes and edges, in wire names: what a picture is drawn from. */
export interface Dag {
  readonly name: string
  /** Made of needs: what needs none begins at once. */
  readonly graph: boolean
  /** Where it begins. */
  readonly first: readonly string[]
  readonly nodes: readonly DagNode[]
  readonly edges: readonly DagEdge[]
}
export interface DagNode {
  /** The step; of one inside a group `group.branch`, `group.*` for each item; of what undoes one, `undo ` and its id. */
  readonly id: string
  readonly name: string
  /** Of the step; `compensation`. */
  readonly kind: string
  /** The node it stands inside of. */
  readonly group?: string
  readonly provider?: string
  readonly action_type?: string
  readonly sub_chain?: string
}
export interface DagEdge {
  readonly from: string
  /** Null: the end. */
  readonly to: string | null
  readonly kind: WayKind | 'compensate'
  /** What has to hold. */
  readonly label?: string
}

/** The key of the step in an execution, where it stands inside a `for_each` of its group: any item's. */
export const ANY_ITEM = '*'
/** Step names have no spaces, so this is the id of no step. */
export const undoNode = (id: string): string => `undo ${id}`

export function dagOf(definition: ChainDefinition): Dag {
  const nodes: DagNode[] = []
  const edges: DagEdge[] = waysOf(definition).map(({ from, to, kind, label }) => ({
    from,
    to: to ?? null,
    kind,
    ...(label !== undefined && { label }),
  }))
  const add = (step: StepDefinition, id: string, group?: string): void => {
    nodes.push({ id, name: step.name, kind: kindOf(step).kind, ...(group !== undefined && { group }), ...sentBy(step) })
    const { compensate } = step
    if (!compensate) return
    const undo = undoNode(id)
    const { provider, action_type } = compensate
    nodes.push({ id: undo, name: step.name, kind: 'compensation', provider, action_type })
    edges.push({ from: id, to: undo, kind: 'compensate' })
  }
  for (const step of definition.steps) {
    add(step, step.name)
    const each = 'for_each' in step
    for (const inner of innerSteps(step))
      add(inner.step, `${step.name}.${each ? ANY_ITEM : inner.step.name}`, step.name)
  }
  const graph = isGraph(definition)
  const first = graph ? definition.steps.filter((s) => (s.needs ?? []).length === 0) : definition.steps.slice(0, 1)
  return { name: definition.name, graph, first: first.map((s) => s.name), nodes, edges }
}

/** As it may be shown: what ties it together stays, whatever fields are hidden. */
export const shownDag = (dag: Dag, redact: Redact): Dag => ({
  ...dag,
  nodes: dag.nodes.map((n) => ({ ...redact({ ...n }), id: n.id, ...(n.group !== undefined && { group: n.group }) })),
  edges: dag.edges.map((e) => ({ ...redact({ ...e }), from: e.from, to: e.to, kind: e.kind })),
})

const sentBy = (step: StepDefinition): JsonObject => ({
  ...('provider' in step && { provider: step.provider, action_type: step.action_type }),
  ...('sub_chain' in step && { sub_chain: step.sub_chain }),
  ...('dispatch' in step && { action_type: step.dispatch.action_type }),
})
