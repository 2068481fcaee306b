import { sha256 } from '../core/ids.ts'
import type { JsonObject } from '../core/json.ts'
import { canonicalJson, type Json, setOwn } from '../core/json.ts'
import { compileTemplate } from '../core/template.ts'
import { fitsIn } from '../core/utf8.ts'
import { type Field, shownValue, wholePath } from './fields.ts'
import type { Compiling, Draft } from './stage.ts'

/** A key's value longer than this stands in ids as its hash. Bytes. */
export const MAX_KEY_BYTES = 512

/** The values an action has for the fields of a key. */
export interface KeyValues {
  /** For an id: each marked with its kind, a missing one a value of its own. */
  readonly parts: readonly string[]
  /** By short name; a missing one is null. */
  readonly labels: JsonObject
  /** As people read it, redacted: `floor=3, zone=null`. */
  readonly shown: string
  /** None of the fields is there. */
  readonly missing: boolean
}
export type Keys = (draft: Draft) => KeyValues

export function compileKeys(names: readonly string[], at: readonly PropertyKey[], compiling: Compiling): Keys {
  const fields = names.map((n, i) => compiling.field(wholePath(n), [...at, i]))
  const short = shortNames(fields)
  return (draft) => {
    const labels: Record<string, Json> = {}
    const parts: string[] = []
    let missing = true
    fields.forEach((f, i) => {
      const value = f.read(draft) ?? null
      if (value !== null) missing = false
      setOwn(labels, short[i]!, value)
      parts.push(bounded(marked(value), compiling.rule, f.text, draft))
    })
    const shown = short
      .map((s, i) => `${s}=${readable(shownValue(fields[i]!, fields[i]!.read(draft) ?? null, compiling.redact))}`)
      .join(', ')
    return { parts, labels, shown, missing }
  }
}

/** `floor` for `action.payload.floor`, unless two fields would share it. */
function shortNames(fields: readonly Field[]): readonly string[] {
  const short = fields.map((f) => f.text.replace(/^action\.(payload\.|metadata\.)?/, ''))
  return short.map((s, i) => (short.indexOf(s) === short.lastIndexOf(s) ? s : fields[i]!.text))
}

const marked = (v: Json): string => (v === null ? '-' : typeof v === 'string' ? `s${v}` : `j${canonicalJson(v)}`)

/** The text itself, or its hash (with a warning) when it is over the limit. */
export function bounded(text: string, rule: string, what: string, draft: Draft): string {
  if (fitsIn(text, MAX_KEY_BYTES)) return text
  draft.warnings.push(`rule "${rule}": the value of ${what} is over ${MAX_KEY_BYTES} bytes and counts by its hash`)
  return `#${sha256(text)}`
}
const readable = (v: Json): string => {
  const text = v === null ? 'null' : typeof v === 'string' ? v : canonicalJson(v)
  return text.length > 128 ? `${text.slice(0, 128)}…` : text
}

/** A schedule's key: a template, or a list of fields. Undefined when a part of it is missing: no key, with a warning. */
export function compileScheduleKey(
  key: string | readonly string[],
  compiling: Compiling,
): (draft: Draft) => readonly string[] | undefined {
  const without = (draft: Draft, what: string): undefined => {
    draft.warnings.push(`rule "${compiling.rule}": ${what} is not there, so there is no schedule key`)
    return undefined
  }
  if (typeof key !== 'string') {
    const keys = compileKeys(key, ['key'], compiling)
    return (draft) => {
      const { parts, missing } = keys(draft)
      return missing ? without(draft, key.join(', ')) : ['fields', ...parts]
    }
  }
  compiling.template(key, ['key'])
  const template = compileTemplate(key)
  return (draft) => {
    const missing: string[] = []
    const value = template.render(variables(draft, compiling), missing)
    if (missing.length > 0 || value === null) return without(draft, missing.join(', '))
    const text = typeof value === 'string' ? value : canonicalJson(value)
    return ['text', bounded(text, compiling.rule, 'key', draft)]
  }
}

/** What templates of rules may name. */
export const templateRoots = ['action', 'payload', 'metadata', 'time'] as const
export const variables = (draft: Draft, { zone }: Compiling): { readonly [root: string]: Json | undefined } => ({
  // An action is plain data; only its type has no index signature.
  action: draft.action as unknown as JsonObject,
  payload: draft.action.payload,
  metadata: draft.action.metadata,
  get time() {
    return { ...zone.at(draft.now) }
  },
})
