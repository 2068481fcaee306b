import { type ASTNode, Environment, EvaluationError, ParseError } from '@marcbachmann/cel-js'
import type { Action } from '../core/action.ts'
import { isObject, type Json, own, setOwn } from '../core/json.ts'
import { children, MACROS, readsOf } from './cel-reads.ts'
import { compilePattern, type Pattern } from './pattern.ts'
import type { Zone } from './time.ts'

/** The answer, or why there is none. */
export interface Cel {
  evaluate(at: { readonly action: Action; readonly now: number }): boolean | string
}

/** An expression over named roots. Never throws: what goes wrong is an `error`. A root that is not given is null. */
export interface Expression {
  /** The type of its answer as CEL names it; `dyn` where only the data tells. */
  readonly gives: string
  /** Where it looks, as far as that is written out: each path from its root. */
  readonly reads: readonly (readonly string[])[]
  evaluate(at: { readonly [root: string]: unknown }): { readonly value: Json } | { readonly error: string }
}

/**
 * The library throws for a missing key, runs `matches` with backtracking and takes every JSON number for a double. So an
 * expression is checked as written, then written anew from its syntax tree with calls of ours in those places.
 */
const GET = 'signalbox_get'
const DATA = 'signalbox_data'
const HAS = 'signalbox_has'
const MATCHES = 'signalbox_matches'

/** A comprehension asks once per element, one inside another once per pair: so much data each may look through. */
const MAX_VALUES = [100_000, 100_000, 1000] as const

/** The condition of a rule: over the action, the time here and the environment; true or false. */
export function compileCel(
  source: string,
  { zone, env }: { readonly zone: Zone; readonly env: ReadonlyMap<string, string | undefined> },
): Cel | { readonly refused: string } {
  const compiled = compileExpression(source, ['action', 'time', 'env'])
  if ('refused' in compiled) return compiled
  const { gives, evaluate } = compiled
  if (!mayBeBool(gives)) return { refused: notBool(gives) }
  const names = Object.fromEntries([...env].map(([k, v]) => [k, v ?? null]))
  return {
    evaluate({ action, now }) {
      const answer = evaluate({ action, time: zone.at(now), env: names })
      if ('error' in answer) return answer.error
      return typeof answer.value === 'boolean' ? answer.value : 'the expression is neither true nor false'
    },
  }
}

const mayBeBool = (gives: string): boolean => gives === 'bool' || gives === 'dyn'
const notBool = (gives: string): string => `"cel" must be true or false, not ${gives}`

export function compileExpression(source: string, names: readonly string[]): Expression | { readonly refused: string } {
  const refuse = (why: string) => ({ refused: `"cel" ${why}` })
  const patterns = new Map<string, Pattern>()
  const roots = () => {
    const environment = new Environment({ homogeneousAggregateLiterals: false })
    return names.reduce((e, name) => e.registerVariable(name, 'dyn'), environment)
  }
  try {
    const written = roots()
    written.registerFunction('matches(dyn, string): bool', () => false)
    const parsed = written.parse(source)
    const checked = parsed.check()
    if (!checked.valid) return refuse(`is not right: ${checked.error?.summary ?? 'it does not type-check'}`)
    const depth = comprehensionDepth(parsed.ast)
    const limit = MAX_VALUES[depth]
    if (limit === undefined) return refuse('may nest two comprehensions, not more')
    const text = rewrite(parsed.ast, names, patterns)
    const run = roots()
      .registerFunction(`${GET}(dyn, dyn): dyn`, get)
      .registerFunction(`${HAS}(dyn, dyn): bool`, (o: unknown, k: unknown) => get(o, k) !== null)
      .registerFunction(`${DATA}(dyn): dyn`, (v: unknown) => convert(v, { left: limit }))
      .registerFunction(`${MATCHES}(string, string): bool`, (t: string, p: string) => patterns.get(p)!(t))
      .parse(text)
    const given = (at: { readonly [root: string]: unknown }) => {
      const all: Record<string, unknown> = {}
      for (const name of names) all[name] = at[name] ?? null
      return all
    }
    return {
      gives: String(checked.type ?? 'dyn'),
      reads: readsOf(parsed.ast, names),
      evaluate: (at) => answer(() => run(given(at)), limit),
    }
  } catch (e) {
    if (e instanceof ParseError) return refuse(`is not an expression: ${e.summary}`)
    if (e instanceof Refusal) return refuse(e.message)
    throw e
  }
}

class Refusal extends Error {}

/** Whatever goes wrong inside an expression is an answer: a condition never throws. */
function answer(run: () => unknown, limit: number): { readonly value: Json } | { readonly error: string } {
  try {
    return { value: toJson(run(), { left: limit }) }
  } catch (e) {
    return { error: e instanceof EvaluationError ? e.summary : e instanceof Error ? e.message : String(e) }
  }
}

/** What CEL gave, as JSON has it: a moment as RFC 3339, a duration as its seconds. Throws for what JSON has not. */
function toJson(v: unknown, budget: { left: number }): Json {
  if (--budget.left < 0) throw new Error('the answer is too large')
  if (v === null || v === undefined) return null
  if (typeof v === 'string' || typeof v === 'boolean') return v
  if (typeof v === 'number') return exact(v, Number.isFinite(v))
  if (typeof v === 'bigint') return exact(Number(v), Number.isSafeInteger(Number(v)))
  if (v instanceof Date) return v.toISOString()
  if (Array.isArray(v)) return v.map((x: unknown) => toJson(x, budget))
  if (v instanceof Map || (typeof v === 'object' && isPlain(v))) {
    const out: Record<string, Json> = {}
    for (const [k, x] of v instanceof Map ? v : Object.entries(v)) setOwn(out, String(k), toJson(x, budget))
    return out
  }
  // The library's own classes of unsigned integers and durations, which it does not export.
  const plain: unknown = v.valueOf()
  if (typeof plain === 'bigint') return toJson(plain, budget)
  if (typeof plain === 'number') return plain / 1000
  throw new Error('the answer is nothing that JSON has')
}
function exact(n: number, ok: boolean): number {
  if (!ok) throw new Error(`${n} is no number that JSON holds exactly`)
  return n
}

/** A key of a mapping or an index of a list; null where there is none, and below null. */
function get(of: unknown, key: unknown): unknown {
  if (of === null || of === undefined) return null
  if (Array.isArray(of)) return of[Number(key)] ?? null
  if (!isObject(of)) throw new Error(`${typeof of} has no "${String(key)}"`)
  return own(of, String(key)) ?? null
}

/** JSON as CEL has it: whole numbers are int (64 bits, here those a double holds exactly), the others double. */
function convert(v: unknown, budget: { left: number }): unknown {
  if (--budget.left < 0) throw new Error('the data is too large for an expression')
  if (typeof v === 'number') return Number.isSafeInteger(v) ? BigInt(v) : v
  if (Array.isArray(v)) return v.map((x: unknown) => convert(x, budget))
  if (typeof v !== 'object' || v === null || !isPlain(v)) return v ?? null
  const out: Record<string, unknown> = {}
  for (const k of Object.keys(v)) setOwn(out, k, convert(own(v, k), budget))
  return out
}
const isPlain = (o: object): o is { readonly [k: string]: Json } => {
  const prototype: unknown = Object.getPrototypeOf(o)
  return prototype === Object.prototype || prototype === null
}

function comprehensionDepth(n: ASTNode): number {
  const inner = Math.max(0, ...children(n).map(comprehensionDepth))
  return n.op === 'rcall' && MACROS.includes(n.args[0]) && n.args[0] !== 'bind' ? inner + 1 : inner
}

/** Writes the tree out again, every operation in parentheses, with our calls for `.`, `[]`, `has` and `matches`. */
function rewrite(root: ASTNode, names: readonly string[], patterns: Map<string, Pattern>): string {
  const access = (of: ASTNode, key: string): string => `${GET}(${raw(of)}, ${key})`
  /** A path kept as JSON, to be converted where it ends. */
  function raw(n: ASTNode): string {
    if (n.op === '.') return access(n.args[0], JSON.stringify(n.args[1]))
    if (n.op === '[]') return access(n.args[0], write(n.args[1]))
    return n.op === 'id' ? n.args : write(n)
  }
  function pattern(n: ASTNode | undefined): string {
    if (n?.op !== 'value' || typeof n.args !== 'string') throw new Refusal('needs a literal pattern in matches()')
    const compiled = compilePattern(n.args)
    if (typeof compiled !== 'function') throw new Refusal(`has a bad regular expression: ${compiled.refused}`)
    patterns.set(n.args, compiled)
    return JSON.stringify(n.args)
  }
  function call(name: string, args: readonly ASTNode[]): string {
    const [first] = args
    if (name === 'matches' && first) return `${MATCHES}(${write(first)}, ${pattern(args[1])})`
    if (name === 'has' && first?.op === '.') return `${HAS}(${raw(first.args[0])}, ${JSON.stringify(first.args[1])})`
    return `${name}(${args.map(write).join(', ')})`
  }
  function write(n: ASTNode): string {
    switch (n.op) {
      case 'value':
        return typeof n.args === 'string' ? JSON.stringify(n.args) : n.input.slice(n.range.start, n.range.end)
      case 'id':
        return names.includes(n.args) ? `${DATA}(${n.args})` : n.args
      case '.':
      case '[]':
        return `${DATA}(${raw(n)})`
      case '!_':
      case '-_':
        return `${n.op[0]}(${write(n.args)})`
      case '?:':
        return `(${write(n.args[0])} ? ${write(n.args[1])} : ${write(n.args[2])})`
      case 'list':
        return `[${n.args.map(write).join(', ')}]`
      case 'map':
        return `{${n.args.map(([k, v]) => `${write(k)}: ${write(v)}`).join(', ')}}`
      case 'call':
        return call(n.args[0], n.args[1])
      case 'rcall': {
        const [name, receiver, args] = n.args
        if (name === 'matches') return call(name, [receiver, ...args])
        const [variable, ...others] = args
        const inner =
          MACROS.includes(name) && variable?.op === 'id' ? [variable.args, ...others.map(write)] : args.map(write)
        return `${write(receiver)}.${name}(${inner.join(', ')})`
      }
      case '.?':
      case '[?]':
        throw new Refusal('has no optional access; a missing key is null')
      default:
        return `(${write(n.args[0])} ${n.op} ${write(n.args[1])})`
    }
  }
  return write(root)
}
