import { type ASTNode, Environment, EvaluationError, ParseError } from '@marcbachmann/cel-js'
import type { Action } from '../core/action.ts'
import { isObject, type Json, own, setOwn } from '../core/json.ts'
import { compilePattern, type Pattern } from './pattern.ts'
import type { Zone } from './time.ts'

/** The answer, or why there is none. */
export interface Cel {
  evaluate(at: { readonly action: Action; readonly now: number }): boolean | string
}

/**
 * The library throws for a missing key, runs `matches` with backtracking and takes every JSON number for a double. So an
 * expression is checked as written, then written anew from its syntax tree with calls of ours in those places.
 */
const GET = 'signalbox_get'
const DATA = 'signalbox_data'
const HAS = 'signalbox_has'
const MATCHES = 'signalbox_matches'

const MACROS = ['all', 'exists', 'exists_one', 'map', 'filter', 'bind']
/** A comprehension asks once per element, one inside another once per pair: so much data each may look through. */
const MAX_VALUES = [100_000, 100_000, 1000] as const

const roots = () =>
  new Environment({ homogeneousAggregateLiterals: false })
    .registerVariable('action', 'dyn')
    .registerVariable('time', 'dyn')
    .registerVariable('env', 'dyn')

export function compileCel(
  source: string,
  { zone, env }: { readonly zone: Zone; readonly env: ReadonlyMap<string, string | undefined> },
): Cel | { readonly refused: string } {
  const refuse = (why: string) => ({ refused: `"cel" ${why}` })
  const patterns = new Map<string, Pattern>()
  try {
    const written = roots()
    written.registerFunction('matches(dyn, string): bool', () => false)
    const parsed = written.parse(source)
    const checked = parsed.check()
    if (!checked.valid) return refuse(`is not right: ${checked.error?.summary ?? 'it does not type-check'}`)
    if (checked.type !== 'bool' && checked.type !== 'dyn') return refuse(`must be true or false, not ${checked.type}`)
    const depth = comprehensionDepth(parsed.ast)
    const limit = MAX_VALUES[depth]
    if (limit === undefined) return refuse('may nest two comprehensions, not more')
    const text = rewrite(parsed.ast, patterns)
    const run = roots()
      .registerFunction(`${GET}(dyn, dyn): dyn`, get)
      .registerFunction(`${HAS}(dyn, dyn): bool`, (o: unknown, k: unknown) => get(o, k) !== null)
      .registerFunction(`${DATA}(dyn): dyn`, (v: unknown) => convert(v, { left: limit }))
      .registerFunction(`${MATCHES}(string, string): bool`, (t: string, p: string) => patterns.get(p)!(t))
      .parse(text)
    const names = Object.fromEntries([...env].map(([k, v]) => [k, v ?? null]))
    return { evaluate: ({ action, now }) => answer(() => run({ action, time: zone.at(now), env: names })) }
  } catch (e) {
    if (e instanceof ParseError) return refuse(`is not an expression: ${e.summary}`)
    if (e instanceof Refusal) return refuse(e.message)
    throw e
  }
}

class Refusal extends Error {}

/** Whatever goes wrong inside an expression is an answer: a condition never throws. */
function answer(run: () => unknown): boolean | string {
  try {
    const value = run()
    return typeof value === 'boolean' ? value : 'the expression is neither true nor false'
  } catch (e) {
    return e instanceof EvaluationError ? e.summary : e instanceof Error ? e.message : String(e)
  }
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

const children = (n: ASTNode): readonly ASTNode[] =>
  [n.args].flat(3).filter((a): a is ASTNode => typeof a === 'object' && a !== null && 'op' in a)

function comprehensionDepth(n: ASTNode): number {
  const inner = Math.max(0, ...children(n).map(comprehensionDepth))
  return n.op === 'rcall' && MACROS.includes(n.args[0]) && n.args[0] !== 'bind' ? inner + 1 : inner
}

/** Writes the tree out again, every operation in parentheses, with our calls for `.`, `[]`, `has` and `matches`. */
function rewrite(root: ASTNode, patterns: Map<string, Pattern>): string {
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
        return ['action', 'time', 'env'].includes(n.args) ? `${DATA}(${n.args})` : n.args
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
