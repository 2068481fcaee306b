import { type ASTNode, Environment, EvaluationError, ParseError } from '@marcbachmann/cel-js'
import type { Action } from '../core/action.ts'
import { isObject, type Json, own } from '../core/json.ts'
import { Failure, type Meter, meter, meteredName, registerMetered, weightOf } from './cel-meter.ts'
import { registerMixed } from './cel-numbers.ts'
import { children, MACROS, namesGiven, readsOf } from './cel-reads.ts'
import { convert, seen, shown, toJson } from './cel-values.ts'
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
/** These spend from the budget of the evaluation: a value that has a name here, a step, and what stands around a droppable error. */
const SEEN = 'signalbox_seen'
const STEP = 'signalbox_step'
const BEGIN = 'signalbox_begin'
const DONE = 'signalbox_done'

/** Comprehensions that drop the error of an element when another decides; the others fail with it. */
const QUANTIFIERS = ['all', 'exists']
const MAX_COMPREHENSIONS = 2
/** Characters that the linear engine goes through in the time of a unit. */
const MATCHED_PER_UNIT = 4
/** Characters. The parser and we go down into what is nested, so that a long enough text would use up the stack. */
const MAX_SOURCE = 10_000
/** What we write around each operation nests deeper than what was written. */
const MAX_WRITTEN_DEPTH = 750

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

/** Where in the expression: what it stands in has a place for the whole of it only. */
const placed = (e: { readonly range?: { readonly start: number } } | undefined): string =>
  e?.range === undefined ? '' : ` at character ${e.range.start + 1}`

const mayBeBool = (gives: string): boolean => gives === 'bool' || gives === 'dyn'
const notBool = (gives: string): string => `"cel" must be true or false, not ${gives}`

export function compileExpression(source: string, names: readonly string[]): Expression | { readonly refused: string } {
  const refuse = (why: string) => ({ refused: `"cel" ${why}` })
  const patterns = new Map<string, Pattern>()
  if (source.length > MAX_SOURCE) return refuse(`is over ${MAX_SOURCE} characters`)
  const roots = (limits = {}) => {
    const environment = new Environment({ homogeneousAggregateLiterals: false, limits })
    return names.reduce((e, name) => e.registerVariable(name, 'dyn'), environment)
  }
  try {
    const written = roots()
    written.registerFunction('matches(dyn, string): bool', () => false)
    const parsed = written.parse(source)
    const checked = parsed.check()
    if (!checked.valid) {
      const hint = checked.error?.code === 'unknown_variable' ? `; it sees ${names.join(', ')}` : ''
      return refuse(
        `is not right${placed(checked.error)}: ${checked.error?.summary ?? 'it does not type-check'}${hint}`,
      )
    }
    if (comprehensionDepth(parsed.ast) > MAX_COMPREHENSIONS) return refuse('may nest two comprehensions, not more')
    const text = rewrite(parsed.ast, names, patterns)
    const budget = meter()
    const running = registerMixed(roots({ maxDepth: MAX_WRITTEN_DEPTH }))
      .registerFunction(`${GET}(dyn, list): dyn`, (of: unknown, path: readonly unknown[]) =>
        convert(found(of, path), budget),
      )
      .registerFunction(`${HAS}(dyn, list): bool`, (of: unknown, path: readonly unknown[]) => found(of, path) !== null)
      .registerFunction(`${DATA}(dyn): dyn`, (v: unknown) => convert(v, budget))
      .registerFunction(`${MATCHES}(string, string): bool`, (t: string, p: string) => {
        budget.spend(t.length / MATCHED_PER_UNIT)
        return patterns.get(p)!(t)
      })
      .registerFunction(`${SEEN}(dyn): dyn`, (v: unknown) => seen(v, budget))
      .registerFunction(`${STEP}(int): bool`, (weight: bigint) => {
        budget.spend(Number(weight))
        return true
      })
      .registerFunction(`${BEGIN}(int): bool`, (weight: bigint) => budget.begin(Number(weight)))
      .registerFunction(`${DONE}(dyn): dyn`, (v: unknown) => budget.done(v))
    registerMetered(running, budget)
    const run = running.parse(text)
    const given = (at: { readonly [root: string]: unknown }) => {
      const all: Record<string, unknown> = {}
      for (const name of names) all[name] = shown(at[name] ?? null)
      return all
    }
    return {
      gives: String(checked.type ?? 'dyn'),
      reads: readsOf(parsed.ast, names),
      evaluate(at) {
        budget.reset(text.length)
        return answer(() => run(given(at)), budget)
      },
    }
  } catch (e) {
    if (e instanceof ParseError) return refuse(`is not an expression${placed(e)}: ${e.summary}`)
    if (e instanceof Refusal) return refuse(e.message)
    // What the parser's own limits let through may still be nested deeper than the stack is.
    if (e instanceof RangeError) return refuse('is nested too deep')
    throw e
  }
}

class Refusal extends Error {}

/** Whatever goes wrong inside an expression is an answer: a condition never throws. */
function answer(run: () => unknown, budget: Meter): { readonly value: Json } | { readonly error: string } {
  try {
    const value = toJson(run(), budget)
    // `all`, `exists`, `||` and `&&` may have dropped the error that said so.
    if (budget.over) budget.spend(0)
    return { value }
  } catch (e) {
    return { error: messageOf(e) }
  }
}

/** Messages of the library that quote a value, by their codes: what is redacted would stand in them. */
const QUOTING: { readonly [code: string]: string } = {
  bool_conversion_error: 'bool() was given text that is neither true nor false',
  invalid_duration: 'duration() was given text that is no duration',
  numeric_overflow: 'a number is too large',
  no_such_key: 'there is no such key',
}
function messageOf(e: unknown): string {
  if (e instanceof EvaluationError) return QUOTING[e.code] ?? e.summary
  // Those of the engine, about a time zone or JSON, quote too.
  return e instanceof Failure ? e.message : 'a function was given a value it does not take'
}

/** What is found along keys of mappings and indexes of lists. */
function found(of: unknown, path: readonly unknown[]): unknown {
  let v = of
  for (const key of path) v = get(v, key)
  return v
}
/** Null where there is none, and below null. */
function get(of: unknown, key: unknown): unknown {
  if (of === null || of === undefined) return null
  if (Array.isArray(of)) return of[Number(key)] ?? null
  if (of instanceof Map) return of.get(String(key)) ?? null
  if (!isObject(of)) throw new Failure(`a ${typeof of} has no keys`)
  return own(of, String(key)) ?? null
}

function comprehensionDepth(n: ASTNode): number {
  const inner = Math.max(0, ...children(n).map(comprehensionDepth))
  return n.op === 'rcall' && MACROS.includes(n.args[0]) && n.args[0] !== 'bind' ? inner + 1 : inner
}

/** Writes the tree out again, every operation in parentheses, with our calls for `.`, `[]`, `has` and `matches`. */
function rewrite(root: ASTNode, names: readonly string[], patterns: Map<string, Pattern>): string {
  const named = new Set(namesGiven(root))
  let comprehensions = 0
  /** One call for all of a path: the library sees what stands at its end, converted, and nothing of the JSON on the way. */
  const look = (how: string, of: ASTNode, ...below: readonly string[]): string => {
    const [root, ...keys] = pathOf(of)
    return `${how}(${root}, [${[...keys, ...below].join(', ')}])`
  }
  function pathOf(n: ASTNode): string[] {
    if (n.op !== '.' && n.op !== '[]') return [n.op === 'id' ? n.args : write(n)]
    const path = pathOf(n.args[0])
    path.push(n.op === '.' ? JSON.stringify(n.args[1]) : write(n.args[1]))
    return path
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
    if (name === 'has' && first?.op === '.') return look(HAS, first.args[0], JSON.stringify(first.args[1]))
    return `${name}(${args.map(write).join(', ')})`
  }
  /** `all(x, p)` and the like: the first of what comes after the name is asked for each element. */
  function comprehension(name: string, receiver: ASTNode, variable: string, body: readonly ASTNode[]): string {
    const weight = body.reduce((sum, n) => sum + weightOf(n), 0)
    const over = write(receiver)
    comprehensions++
    const [first = '', ...rest] = body.map(write)
    comprehensions--
    const step = QUANTIFIERS.includes(name)
      ? // Once all is spent it ends: an error would be dropped for each element.
        `(${BEGIN}(${weight}) ? ${DONE}(${first}) : ${name === 'exists'})`
      : `(${STEP}(${weight}) ? ${first} : dyn(null))`
    return `${over}.${name}(${[variable, step, ...rest].join(', ')})`
  }
  function write(n: ASTNode): string {
    switch (n.op) {
      case 'value':
        return typeof n.args === 'string' ? JSON.stringify(n.args) : n.input.slice(n.range.start, n.range.end)
      case 'id':
        if (names.includes(n.args)) return `${DATA}(${n.args})`
        return named.has(n.args) ? `${SEEN}(${n.args})` : n.args
      case '.':
      case '[]':
        return look(GET, n)
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
        if (variable?.op === 'id' && MACROS.includes(name)) {
          if (name !== 'bind') return comprehension(name, receiver, variable.args, others)
          return `${write(receiver)}.bind(${[variable.args, ...others.map(write)].join(', ')})`
        }
        return `${write(receiver)}.${meteredName(name)}(${args.map(write).join(', ')})`
      }
      case '||':
      case '&&': {
        const [left, right] = n.args.map(write)
        // An error on the left is dropped where the right decides: once that is cheap, once per element it is not.
        return comprehensions === 0
          ? `(${left} ${n.op} ${right})`
          : `((${BEGIN}(1) ? ${DONE}(${left}) : false) ${n.op} ${right})`
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
