import { isObject, type Json, own } from '../core/json.ts'

/** What a definition is looked at as: plain data, so that a kind of step this file has never heard of may hold others. */
export interface ChainLike {
  readonly lock_by?: string
  readonly steps: readonly object[]
}
/** What the executions of a chain give back to the rules, those of its sub-chains included. */
export interface Dispatched {
  /** `any`: a type is only known when the step is reached. */
  readonly types: ReadonlySet<string> | 'any'
  /** The field by whose value its executions are locked. */
  readonly lockBy: string | undefined
}

/** Keys whose values are data on its way out: what looks like a step in there is none. */
const DATA: ReadonlySet<string> = new Set(['payload_template', 'payload', 'metadata', 'set', 'items', 'value'])

/** Pure. A chain that is not defined dispatches nothing. */
export function dispatchedBy(chain: string, find: (name: string) => ChainLike | undefined): Dispatched {
  const types = new Set<string>()
  let any = false
  const seen = new Set<string>()
  const look = (name: string): void => {
    if (seen.has(name)) return
    seen.add(name)
    // A definition is plain data; only its type says less.
    walk((find(name)?.steps ?? []) as unknown as Json)
  }
  function walk(v: Json): void {
    if (Array.isArray(v)) for (const item of v) walk(item)
    else if (isObject(v)) {
      const [child, dispatch] = [own(v, 'sub_chain'), own(v, 'dispatch')]
      if (typeof child === 'string') look(child)
      if (isObject(dispatch)) add(own(dispatch, 'action_type'))
      for (const key of Object.keys(v)) if (!DATA.has(key) && key !== 'dispatch') walk(own(v, key)!)
    }
  }
  function add(type: Json | undefined): void {
    if (typeof type === 'string' && !type.includes('{{')) types.add(type)
    else any = true
  }
  look(chain)
  return { types: any ? 'any' : types, lockBy: find(chain)?.lock_by }
}

/** The same, remembered for as long as every definition it came from is the one in force. */
export function dispatchedLookup(find: (name: string) => ChainLike | undefined): (chain: string) => Dispatched {
  const known = new Map<
    string,
    { readonly of: Dispatched; readonly from: ReadonlyMap<string, ChainLike | undefined> }
  >()
  return (chain) => {
    const found = known.get(chain)
    if (found && [...found.from].every(([name, was]) => find(name) === was)) return found.of
    const from = new Map<string, ChainLike | undefined>()
    const of = dispatchedBy(chain, (name) => {
      const definition = find(name)
      from.set(name, definition)
      return definition
    })
    known.set(chain, { of, from })
    return of
  }
}
