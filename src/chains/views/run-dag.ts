import { isObject, type JsonObject } from '../../core/json.ts'
import { ANY_ITEM, type Dag, undoNode } from './dag.ts'

/** Of several members that share a node, the one that says most. */
const FIRST_OF = ['failed', 'running', 'waiting', 'pending', 'completed'] as const

/**
 * What has become of each node in an execution, from its steps as they are shown: of its last entry, and of the items of a list
 * together.
 */
export function dagStatuses(dag: Dag, steps: readonly JsonObject[]): ReadonlyMap<string, string> {
  const latest = new Map<string, JsonObject>()
  for (const step of steps) latest.set(String(step['name']), step)
  const statuses = new Map<string, string>()
  for (const { id, group, kind } of dag.nodes) {
    if (kind === 'compensation') continue
    const members = id === `${group}.${ANY_ITEM}` ? itemsOf(latest, group!) : [latest.get(id)]
    const within = group === undefined ? undefined : latest.get(group)
    const found = members.flatMap((s) => (s && !(within && isOfBefore(s, within)) ? [s] : []))
    const status = together(found.map((s) => String(s['status']))) ?? restOf(latest, group)
    const undone = found.filter((s) => s['compensation'] !== undefined || s['compensated'] !== undefined)
    statuses.set(id, found.length > 0 && found.every((s) => s['compensated'] === true) ? 'compensated' : status)
    const undoing = undone.map((s) => (s['compensated'] === true ? 'completed' : statusIn(s['compensation'])))
    statuses.set(undoNode(id), together(undoing) ?? 'skipped')
  }
  return statuses
}

function itemsOf(latest: ReadonlyMap<string, JsonObject>, group: string): readonly JsonObject[] {
  return [...latest].flatMap(([name, step]) => (name.startsWith(`${group}.`) ? [step] : []))
}
/** The group has been gone back to, and its members run anew; of one that is retried those that are done stand. */
function isOfBefore(member: JsonObject, group: JsonObject): boolean {
  const { iteration, members } = group
  if (iteration === undefined) return true
  const again = isObject(members) && Array.isArray(members['redo']) && members['redo'].length === 0
  return again && member['iteration'] !== iteration
}
/** A member that was not begun: so long as its group may begin it, it is to come. */
function restOf(latest: ReadonlyMap<string, JsonObject>, group: string | undefined): string {
  const status = group === undefined ? undefined : latest.get(group)?.['status']
  return status === 'running' || status === 'waiting' || status === 'pending' ? 'pending' : 'skipped'
}
const statusIn = (compensation: JsonObject[string] | undefined): string =>
  String((compensation as JsonObject | undefined)?.['status'] ?? 'failed')

const together = (all: readonly string[]): string | undefined =>
  FIRST_OF.find((s) => all.includes(s)) ?? (all.length > 0 ? all[0] : undefined)
