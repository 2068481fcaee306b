import { isObject, type Json, own, setOwn } from './json.ts'

export interface RedactConfig {
  readonly enabled: boolean
  /**
   * A bare name hides that field at any depth. A dotted path hides what lies at its end, and may begin at any depth too: a
   * payload stands alone, under `payload`, in `events` or under `response.body`, and is hidden alike in each. Arrays are passed
   * through, with or without an index in the path. Case is ignored; a key with dots counts as the path it spells, and
   * `action.payload.x` is `payload.x`, as in rules. What is hidden is hidden whole.
   * Text is not read: JSON inside a string, and a value repeated in a message, stay.
   */
  readonly fields: readonly string[]
  readonly placeholder: string
}
/**
 * Copies with the named fields replaced. It covers what people and other systems read, never what delivery needs. A path that
 * begins with `payload.` is met where `payload` is a key of the value: give the record or `{ payload }`, not the payload alone.
 */
export type Redact = <T extends Json>(value: T) => T

/** The configured paths as a tree of their segments. */
interface Node {
  readonly next: Map<string, Node>
  end: boolean
}
const node = (): Node => ({ next: new Map(), end: false })

export function compileRedact(config: RedactConfig): Redact {
  if (!config.enabled || config.fields.length === 0) return (v) => v
  const { placeholder } = config
  const root = pathTree(config.fields)
  const start: readonly Node[] = [root]
  // The labels of a group are values of the payload or the metadata under their short names.
  const labelled = [root, root.next.get('payload'), root.next.get('metadata')].filter((n) => n !== undefined)

  // `live`: the nodes reached by the keys that lead here, the root always among them, as a path may begin anywhere.
  const walk = (v: Json, live: readonly Node[]): Json => {
    if (Array.isArray(v))
      return v.map((x: Json, i) => {
        const reached = step(live, String(i))
        if (reached === undefined) return placeholder
        return walk(x, reached.length === 0 ? live : [...new Set([...live, ...reached])])
      })
    if (!isObject(v)) return v
    const out: Record<string, Json> = {}
    for (const k of Object.keys(v)) {
      const under = k === 'labels' && own(v, 'group_key') !== undefined ? labelled : follow(live, k.toLowerCase())
      setOwn(out, k, under === undefined ? placeholder : walk(own(v, k)!, under))
    }
    return out
  }
  const follow = (live: readonly Node[], key: string): readonly Node[] | undefined => {
    let at: readonly Node[] = live
    for (const segment of key.includes('.') ? key.split('.') : [key]) {
      const reached = step(at, segment)
      if (reached === undefined) return undefined
      at = reached.length === 0 ? start : [root, ...reached]
    }
    return at
  }
  return <T extends Json>(v: T): T => walk(v, start) as T
}

/** The nodes one segment further on; undefined where a path ends there. */
function step(live: readonly Node[], segment: string): readonly Node[] | undefined {
  let reached: Node[] | undefined
  for (const at of live) {
    const child = at.next.get(segment)
    if (child?.end) return undefined
    if (child) reached = [...(reached ?? []), child]
  }
  return reached ?? NONE
}
const NONE: readonly Node[] = []

function pathTree(fields: readonly string[]): Node {
  const root = node()
  for (const field of fields) {
    let at = root
    for (const segment of field
      .toLowerCase()
      .replace(/^action\.(?=(payload|metadata)\.)/, '')
      .split('.')) {
      const child = at.next.get(segment) ?? node()
      at.next.set(segment, child)
      at = child
    }
    at.end = true
  }
  return root
}
