import { z } from 'zod'
import { isObject, type Json, type JsonObject, own } from '../../core/json.ts'
import { didYouMean, meant } from '../../core/nearest.ts'
import { rightOnes } from '../../core/wire.ts'
import { IN_WORDS } from '../../core/words.ts'
import type { LeafStep, Path, Say, StepDefinition } from '../model/definition.ts'
import { commonStep } from '../model/shape.ts'
import type { StepKind } from '../model/step-kind.ts'
import { stepKinds } from '../steps/index.ts'

/** What says where to go, or what a failure means: a group says it for all that stands inside it. */
export const OF_THE_GROUP = ['needs', 'branches', 'default_next', 'on_failure', 'allow_failure'] as const

/** Made once: zod compiles a schema when it is first asked, which takes longer than reading a step. */
const shapes: ReadonlyMap<StepKind, z.ZodObject> = new Map(
  Object.values(stepKinds).map((kind) => [kind, z.strictObject({ ...commonStep, ...kind.shape })]),
)

/** A step that stands inside a group. `name`: its name where it needs none of its own. */
interface Inside {
  readonly name?: string
}

/** What could be read: for the checks of names, also where something of it is at fault. */
export interface Read<T> {
  /** Without what was at fault. Undefined: it cannot be told what it would be. */
  readonly value: T | undefined
  /** Nothing is lost that says where to go, or what a failure means: it can be judged what follows what. */
  readonly whole: boolean
}
const NOTHING = { value: undefined, whole: false }

/** Reads a step as TOML or JSON gave it, and those inside it. What is wrong is said. */
export function readStep(raw: unknown, at: Path, say: Say, inside?: Inside): Read<StepDefinition> {
  if (!isObject(raw)) {
    say(at, 'a step is a table')
    return NOTHING
  }
  const kind = findKind(raw, at, say, inside !== undefined)
  const inner = membersOf(raw).map((m) => readStep(m.raw, [...at, ...m.path], say, m))
  if (!kind) return NOTHING
  const shape = shapes.get(kind)!
  const given = inside ? member(raw, inside, at, say) : liftDefaultNext(raw, at, say)
  const parsed = shape.safeParse(given, IN_WORDS)
  if (!parsed.success) sayZod(parsed.error, at, shape, say, `${kind.ends ? 'an' : 'a'} ${kind.kind} step`)
  const read = parsed.success
    ? { value: parsed.data, whole: true }
    : lenientOf(inner.length > 0 ? withoutFaults(given, shape, kind.key) : given, shape, kind.key)
  const members = inner.flatMap((m) => m.value ?? [])
  if (!read.value || members.length < inner.length) return NOTHING
  return {
    value: withMembers(read.value as unknown as StepDefinition, members),
    whole: read.whole && inner.every((m) => m.whole),
  }
}

/** A fault in the table of a group says nothing of its members: they are looked at without it. */
function withoutFaults(given: object, shape: z.ZodObject, key: string): object {
  const table = own(given as JsonObject, key)
  const inner = shape.shape[key]
  return isObject(table) && inner instanceof z.ZodObject ? { ...given, [key]: rightOnes(inner, table) } : given
}
function lenientOf(given: object, shape: z.ZodObject, needed: string): Read<{ readonly [key: string]: unknown }> {
  const parsed = shape.safeParse(given, IN_WORDS)
  return parsed.success ? { value: parsed.data, whole: true } : lenient(given, shape, parsed.error, needed)
}

/** Keys that say where to go. */
const LEADS: ReadonlySet<string> = new Set([...OF_THE_GROUP, 'then', 'else'])

/** What is left of a table without what is at fault. `needed`: the key without which nothing can be said of it. */
export function lenient(
  given: object,
  shape: z.ZodObject,
  error: z.ZodError,
  needed: string,
): Read<{ readonly [key: string]: unknown }> {
  const known = Object.keys(shape.shape)
  const faulty = error.issues.flatMap((i) =>
    i.path.length > 0 ? [String(i.path[0])] : i.code === 'unrecognized_keys' ? i.keys : [],
  )
  // A name that is not allowed is the one its author goes by all the same.
  const name = own(given as JsonObject, 'name')
  const named = typeof name === 'string' && name !== '' && { name }
  const value = { ...rightOnes(shape, given), ...named } as { readonly [key: string]: unknown }
  if (value['name'] === undefined || !Object.hasOwn(value, needed)) return NOTHING
  const leads = (key: string | undefined) => key !== undefined && (LEADS.has(key) || key === needed)
  return { value, whole: !faulty.some((key) => leads(key) || (!known.includes(key) && leads(meant(key, known)))) }
}

function findKind(raw: JsonObject, at: Path, say: Say, inGroup: boolean): StepKind | undefined {
  const keys = Object.values(stepKinds).filter((k) => k.leaf || !inGroup)
  const kinds = Object.values(stepKinds).filter((k) => Object.hasOwn(raw, k.key))
  const [kind] = kinds
  const refuse = (has: string) => {
    const what = inGroup ? 'a step inside a group' : 'a step'
    return void say(at, `${what} has exactly one of ${keys.map((k) => k.key).join(', ')}; this one has ${has}`)
  }
  if (kind && kinds.length === 1) return keys.includes(kind) ? kind : refuse(kind.key)
  if (kind) return refuse(kinds.map((k) => k.key).join(' and '))
  const every = [...Object.keys(commonStep), ...Object.values(stepKinds).flatMap((k) => Object.keys(k.shape))]
  const odd = Object.keys(raw).find((k) => !every.includes(k))
  const near = odd === undefined ? '' : didYouMean(odd, Object.keys(stepKinds))
  return refuse(`none${near}`)
}

interface Member extends Inside {
  readonly raw: Json
  readonly path: Path
}
function membersOf(raw: JsonObject): readonly Member[] {
  const group = own(raw, 'parallel')
  const branches = isObject(group) ? own(group, 'branches') : undefined
  if (Array.isArray(branches))
    return branches.map((b: Json, i) => ({ raw: b, path: ['parallel', 'branches', i] as const }))
  const each = own(raw, 'for_each')
  const step = isObject(each) ? own(each, 'step') : undefined
  const name = own(raw, 'name')
  if (!isObject(step)) return []
  return [{ raw: step, path: ['for_each', 'step'], ...(typeof name === 'string' && { name }) }]
}

function withMembers(step: StepDefinition, inner: readonly StepDefinition[]): StepDefinition {
  const members = inner as readonly LeafStep[] // each was read as one that may stand inside a group
  if ('parallel' in step) return { ...step, parallel: { ...step.parallel, branches: members } }
  if ('for_each' in step) return { ...step, for_each: { ...step.for_each, step: members[0]! } }
  return step
}

function member(raw: JsonObject, { name }: Inside, at: Path, say: Say): object {
  const kept = Object.entries(raw).filter(([key]) => {
    const misplaced = (OF_THE_GROUP as readonly string[]).includes(key)
    if (misplaced) say([...at, key], `"${key}" has no place inside a group: the group says what follows`)
    return !misplaced
  })
  return { ...(name !== undefined && { name }), ...Object.fromEntries(kept) }
}

/** TOML reads a `default_next` written below a branch table as the branch's, though its author meant the step's. */
function liftDefaultNext(step: JsonObject, at: Path, say: Say): object {
  const branches = own(step, 'branches')
  if (!Array.isArray(branches)) return step
  let next = own(step, 'default_next')
  const cleaned = branches.map((b: Json, i) => {
    if (!isObject(b) || !Object.hasOwn(b, 'default_next')) return b
    const { default_next: found, ...rest } = b
    const path = [...at, 'branches', i, 'default_next']
    if (next !== undefined && next !== found) say(path, 'the step has another default_next already')
    else
      say(path, "default_next stands inside a branch and is read as the step's; write it above the branches", 'warning')
    next ??= found
    return rest
  })
  return { ...step, branches: cleaned, ...(next !== undefined && { default_next: next }) }
}

/** Says what was found, and of a key that is not known which one is like it. `what` has the keys of `shape`. */
export function sayZod(error: z.ZodError, at: Path, shape: z.ZodType, say: Say, what: string): undefined {
  for (const issue of error.issues) {
    const inside = issue.path.map((p) => (typeof p === 'symbol' ? String(p) : p))
    if (issue.code !== 'unrecognized_keys') {
      say([...at, ...inside], issue.message)
      continue
    }
    const table = inside.findLast((p) => typeof p === 'string') ?? what
    const known = keysAt(shape, inside)
    const hint = (k: string) => didYouMean(k, known) || (known.length > 0 ? `; it has ${known.join(', ')}` : '')
    for (const k of issue.keys) say([...at, ...inside, k], `"${k}" is no key of ${table}${hint(k)}`)
  }
}

function keysAt(shape: z.ZodType, path: Path): readonly string[] {
  const [key, ...rest] = path
  if (shape instanceof z.ZodOptional) return keysAt(shape.unwrap() as z.ZodType, path)
  if (shape instanceof z.ZodArray) return keysAt(shape.element as z.ZodType, rest)
  if (!(shape instanceof z.ZodObject)) return []
  const inner: z.ZodRawShape = shape.shape
  if (key === undefined) return Object.keys(inner)
  return Object.hasOwn(inner, key) ? keysAt(inner[key] as z.ZodType, rest) : []
}
