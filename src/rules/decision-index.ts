import type { Json } from '../core/json.ts'
import type { Field } from './fields.ts'
import type { Required, Scalar } from './logic.ts'
import type { Draft } from './stage.ts'

/**
 * Which rules can match an action, without asking them all.
 *
 * A rule that requires `field = value` stands only in that value's bucket; of several equalities the rarest is taken, and a
 * bucket is divided again by the others. What requires nothing is always asked. Lists hold positions in order of evaluation.
 * Invariant: a rule that would match is in one of the lists collected for the action. It may be asked in vain, never missed.
 */
export interface DecisionIndex {
  collect(draft: Draft, lists: (readonly number[])[]): void
}

/** Below this many rules dividing costs more than asking. */
const SMALL = 3

interface Bucket {
  readonly always: readonly number[]
  readonly fields: readonly Divided[]
  /** Fields of the payload by its first key, when there are more of them than a payload is likely to have keys. */
  readonly byKey: ReadonlyMap<string, readonly Divided[]> | undefined
}
interface Divided {
  readonly field: Field
  readonly buckets: ReadonlyMap<Json | undefined, Bucket>
}
interface Entry {
  readonly at: number
  readonly required: Required
}
const MANY_FIELDS = 12

export function decisionIndex(rules: readonly { readonly required: Required }[]): DecisionIndex {
  const root = divide(
    rules.map(({ required }, at) => ({ at, required })),
    new Set(),
  )
  return { collect: (draft, lists) => collect(root, draft, lists) }
}

function collect(bucket: Bucket, draft: Draft, lists: (readonly number[])[]): void {
  if (bucket.always.length > 0) lists.push(bucket.always)
  for (const divided of bucket.fields) look(divided, draft, lists)
  if (!bucket.byKey) return
  for (const key in draft.action.payload) for (const divided of bucket.byKey.get(key) ?? []) look(divided, draft, lists)
}
function look({ field, buckets }: Divided, draft: Draft, lists: (readonly number[])[]): void {
  const inner = buckets.get(field.read(draft))
  if (inner) collect(inner, draft, lists)
}

function divide(entries: readonly Entry[], used: ReadonlySet<string>): Bucket {
  if (entries.length <= SMALL) return { always: entries.map((e) => e.at), fields: [], byKey: undefined }
  const crowd = count(entries, used)
  const always: number[] = []
  const chosen = new Map<string, { field: Field; values: Map<Scalar, Entry[]> }>()
  for (const entry of entries) {
    const best = rarest(entry.required, crowd, used)
    if (!best) {
      always.push(entry.at)
      continue
    }
    const { field, values } = entry.required.get(best)!
    const into = chosen.get(best) ?? { field, values: new Map<Scalar, Entry[]>() }
    chosen.set(best, into)
    for (const v of values) append(into.values, v, entry)
  }
  const all = [...chosen].map(([text, { field, values }]): Divided => {
    const deeper = new Set(used).add(text)
    return { field, buckets: new Map([...values].map(([v, inside]) => [v, divide(inside, deeper)])) }
  })
  return { always, ...spread(all) }
}

const append = <K, V>(lists: Map<K, V[]>, key: K, value: V): void => {
  const list = lists.get(key)
  if (list) list.push(value)
  else lists.set(key, [value])
}

/** How many entries stand behind each value of each field. */
function count(entries: readonly Entry[], used: ReadonlySet<string>): ReadonlyMap<string, ReadonlyMap<Scalar, number>> {
  const crowd = new Map<string, Map<Scalar, number>>()
  for (const { required } of entries)
    for (const [text, { values }] of required) {
      if (used.has(text)) continue
      const byValue = crowd.get(text) ?? new Map<Scalar, number>()
      crowd.set(text, byValue)
      for (const v of values) byValue.set(v, (byValue.get(v) ?? 0) + 1)
    }
  return crowd
}

function rarest(
  required: Required,
  crowd: ReadonlyMap<string, ReadonlyMap<Scalar, number>>,
  used: ReadonlySet<string>,
): string | undefined {
  let best: string | undefined
  let least = Number.POSITIVE_INFINITY
  for (const [text, { values }] of required) {
    if (used.has(text)) continue
    let beside = 0
    for (const v of values) beside += crowd.get(text)?.get(v) ?? 0
    if (beside < least) {
      least = beside
      best = text
    }
  }
  return best
}

function spread(all: readonly Divided[]): Pick<Bucket, 'fields' | 'byKey'> {
  const inPayload = (d: Divided) => d.field.path?.[0] === 'payload' && d.field.path.length > 1
  if (all.filter(inPayload).length < MANY_FIELDS) return { fields: all, byKey: undefined }
  const byKey = new Map<string, Divided[]>()
  for (const d of all.filter(inPayload)) {
    const key = d.field.path![1]!
    append(byKey, key, d)
  }
  return { fields: all.filter((d) => !inPayload(d)), byKey }
}
