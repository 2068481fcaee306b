import { z } from 'zod'
import type { Action } from '../core/action.ts'
import { isObject, type Json, type JsonObject, mergePatch, own, setOwn } from '../core/json.ts'
import { didYouMean } from '../core/nearest.ts'
import { compileTemplate, type Variables } from '../core/template.ts'
import { wholePath } from './fields.ts'
import { variables } from './keys.ts'
import type { Compiling, Draft } from './stage.ts'

/** A mapping of any JSON, as it stands in the file. */
export const jsonObject = z.custom<JsonObject>(isObject, 'must be a mapping').meta({ type: 'object' })

/** What `set` may name. Not the scope and not the id: data never crosses a scope, and identity is the caller's. */
export const settable = [
  'action.provider',
  'action.action_type',
  'action.dedup_key',
  'action.fingerprint',
  'action.status',
  'action.metadata.<key>',
  'action.payload.<path>',
] as const

type Change = (action: Action, variables: Variables, missing: string[], warn: (message: string) => void) => Action

/** The action as `changes` (a merge patch of the payload) and `set` (path → value) make it; the old one is not touched. */
export function compileChanges(
  { changes, set }: { readonly changes?: JsonObject | undefined; readonly set?: JsonObject | undefined },
  c: Compiling,
): (draft: Draft) => Action {
  const steps: Change[] = []
  if (changes) {
    c.template(changes, ['changes'])
    const template = compileTemplate(changes)
    const patch = (v: Variables, missing: string[]) =>
      template.references.length > 0 ? template.render(v, missing) : changes
    steps.push((a, v, missing) => ({ ...a, payload: asObject(mergePatch(a.payload, patch(v, missing))) }))
  }
  for (const path of Object.keys(set ?? {})) {
    const value = own(set!, path)!
    c.template(value, ['set', path])
    const step = compileSet(path, value, c)
    if (step) steps.push(step)
  }
  return (draft) => {
    const missing: string[] = []
    const warn = (message: string) => void draft.warnings.push(`rule "${c.rule}": ${message}`)
    const seen = variables(draft, c)
    // Every template sees the action as it was before the rule.
    let { action } = draft
    for (const step of steps) action = step(action, seen, missing, warn)
    if (missing.length > 0) warn(`${[...new Set(missing)].join(', ')} is not there`)
    return action
  }
}
const asObject = (v: Json): JsonObject => (isObject(v) ? v : {})

function compileSet(written: string, value: Json, c: Compiling): Change | undefined {
  const [root, name, ...rest] = wholePath(written).split('.')
  const template = compileTemplate(value)
  if (root === 'action' && name === 'payload' && rest.length > 0 && !rest.includes(''))
    return (a, v, missing) => ({ ...a, payload: asObject(setAt(a.payload, rest, template.render(v, missing))) })
  if (root === 'action' && name === 'metadata' && rest.length > 0) {
    const key = rest.join('.')
    return (a, v, missing) => ({ ...a, metadata: withMetadata(a.metadata, key, template.render(v, missing)) })
  }
  const field = (['provider', 'action_type', 'dedup_key', 'fingerprint', 'status'] as const).find((f) => f === name)
  if (root !== 'action' || !field || rest.length > 0) {
    c.error(
      ['set', written],
      `cannot set "${written}"; there are ${settable.join(', ')}${didYouMean(written, settable)}`,
    )
    return undefined
  }
  const required = field === 'action_type' || field === 'provider'
  const problem = (text: string): string | undefined => {
    if (field === 'provider' && !c.isProvider(text)) return `there is no provider "${text}"`
    if (required && !/^[^\p{Cc}]{1,128}$/u.test(text))
      return `${field} must be 1 to 128 characters, none of them control`
    return Buffer.byteLength(text) > 512 ? `${field} is over 512 bytes` : undefined
  }
  if (template.references.length === 0 && typeof value === 'string') {
    if (field === 'provider') c.provider(value, ['set', written])
    else if (problem(value)) c.error(['set', written], problem(value)!)
  } else if (typeof value !== 'string' && (value !== null || required)) {
    c.error(['set', written], `"${written}" must be text`)
  }
  return (a, v, missing, warn) => {
    const rendered = template.render(v, missing)
    // An empty key would be one for all whose data is empty; at the door there is none.
    if (rendered === null || (rendered === '' && !required)) {
      if (required) return a
      const { [field]: _, ...others } = a
      return { ...others, action_type: a.action_type }
    }
    const text = asText(rendered)
    const wrong = problem(text)
    if (wrong === undefined) return { ...a, [field]: text }
    // The text came from data, and what it is called there, so that it could be hidden, is not known any more: it is not quoted.
    warn(
      `${field === 'provider' && !c.isProvider(text) ? 'what "action.provider" came to is no provider' : wrong}; left as it was`,
    )
    return a
  }
}
const asText = (v: Json): string => (typeof v === 'string' ? v : JSON.stringify(v))

/** A copy with the value at the path; mappings are made on the way, an index is followed into a list that has it. */
function setAt(root: Json | undefined, [key, ...rest]: readonly string[], value: Json): Json {
  if (key === undefined) return value
  if (Array.isArray(root) && /^\d+$/.test(key) && Number(key) < root.length)
    return root.map((x: Json, i) => (i === Number(key) ? setAt(x, rest, value) : x))
  const old = isObject(root) ? root : {}
  const out: Record<string, Json> = {}
  for (const k of Object.keys(old)) setOwn(out, k, own(old, k))
  setOwn(out, key, setAt(own(old, key), rest, value))
  return out
}

function withMetadata(old: Action['metadata'], key: string, value: Json): Action['metadata'] {
  const out: { [key: string]: string } = {}
  for (const k of Object.keys(old)) setOwn(out, k, own(old, k))
  if (value === null) delete out[key]
  else setOwn(out, key, asText(value))
  return out
}
