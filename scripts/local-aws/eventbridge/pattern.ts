/** Event patterns as EventBridge defines them; pure. https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-create-pattern-operators.html */
import { BlockList, isIP } from 'node:net'
import { AwsError, type Json } from '../wire.ts'

type Value = Json | undefined
type Test = (operand: Json, value: Value) => boolean

const invalid = (reason: string): AwsError =>
  new AwsError('InvalidEventPatternException', `Event pattern is not valid. Reason: ${reason}`)
const isObject = (value: Value): value is { [key: string]: Json } =>
  typeof value === 'object' && value !== null && !Array.isArray(value)

const texts = (operand: Json, what: string): string => {
  if (typeof operand !== 'string') throw invalid(`${what} must be a string`)
  return operand
}
/** `prefix` and `suffix` take a string, or `{"equals-ignore-case": string}`. */
const textTest =
  (name: string, holds: (value: string, operand: string) => boolean): Test =>
  (operand, value) => {
    if (!isObject(operand)) {
      const expected = texts(operand, name)
      return typeof value === 'string' && holds(value, expected)
    }
    const expected = texts(operand['equals-ignore-case'] ?? null, name).toLowerCase()
    return typeof value === 'string' && holds(value.toLowerCase(), expected)
  }

const COMPARE: Record<string, (value: number, bound: number) => boolean> = {
  '<': (value, bound) => value < bound,
  '<=': (value, bound) => value <= bound,
  '>': (value, bound) => value > bound,
  '>=': (value, bound) => value >= bound,
  '=': (value, bound) => value === bound,
}
const numeric: Test = (operand, value) => {
  if (!Array.isArray(operand) || operand.length === 0 || operand.length % 2) throw invalid('Bad numeric range operator')
  let holds = typeof value === 'number'
  for (let i = 0; i < operand.length; i += 2) {
    const compare = COMPARE[String(operand[i])]
    const bound = operand[i + 1]
    if (!compare || typeof bound !== 'number') throw invalid(`Unrecognized numeric range operator: ${operand[i]}`)
    holds &&= compare(value as number, bound)
  }
  return holds
}

/** `*` stands for any run of characters; a greedy walk, so no backtracking. */
const wildcard: Test = (operand, value) => {
  const parts = texts(operand, 'wildcard').split('*')
  if (typeof value !== 'string') return false
  const [first = '', ...rest] = parts
  const last = rest.pop()
  if (last === undefined) return value === first
  if (!value.startsWith(first)) return false
  let at = first.length
  for (const part of rest) {
    const found = value.indexOf(part, at)
    if (found < 0) return false
    at = found + part.length
  }
  return value.length - last.length >= at && value.endsWith(last)
}

const anythingBut: Test = (operand, value) => {
  if (isObject(operand)) {
    const [[name = '', inner = null] = []] = Object.entries(operand)
    const test = TESTS[name]
    if (!test || !NEGATABLE.has(name)) throw invalid(`Unsupported anything-but pattern: ${name}`)
    const hit = (Array.isArray(inner) ? inner : [inner]).some((each) => test(each, value))
    return value !== undefined && !hit
  }
  const excluded = Array.isArray(operand) ? operand : [operand]
  return value !== undefined && !excluded.includes(value)
}

const cidr: Test = (operand, value) => {
  const [network = '', bits = ''] = texts(operand, 'CIDR').split('/')
  const family = (ip: string) => (isIP(ip) === 6 ? 'ipv6' : 'ipv4')
  if (!isIP(network) || !/^\d+$/.test(bits)) throw invalid(`Malformed CIDR: ${operand}`)
  const block = new BlockList()
  block.addSubnet(network, Number(bits), family(network))
  return typeof value === 'string' && isIP(value) !== 0 && block.check(value, family(value))
}

const TESTS: Record<string, Test> = {
  prefix: textTest('prefix', (value, operand) => value.startsWith(operand)),
  suffix: textTest('suffix', (value, operand) => value.endsWith(operand)),
  'equals-ignore-case': (operand, value) =>
    texts(operand, 'equals-ignore-case').toLowerCase() ===
    (typeof value === 'string' ? value.toLowerCase() : undefined),
  wildcard,
  numeric,
  cidr,
  'anything-but': anythingBut,
  exists: (operand, value) => {
    if (typeof operand !== 'boolean') throw invalid('exists match pattern must be either true or false.')
    return operand === (value !== undefined)
  },
}
const NEGATABLE = new Set(['prefix', 'suffix', 'equals-ignore-case', 'wildcard'])

const matchesOne = (matcher: Json, value: Value): boolean => {
  if (!isObject(matcher)) return matcher === value
  const [[name = '', operand = null] = [], more] = Object.entries(matcher)
  const test = TESTS[name]
  if (!test || more) throw invalid(`Unrecognized match type ${name}`)
  return test(operand, value)
}

/** Every field of the pattern must match; a list of matchers, and a list in the event, match when any one does. */
export const matchesPattern = (pattern: Json, event: Value): boolean => {
  if (!isObject(pattern)) throw invalid('Filter is not an object')
  if (Array.isArray(event)) return event.some((each) => matchesPattern(pattern, each))
  const fields = isObject(event) ? event : {}
  return Object.entries(pattern).every(([name, matchers]) => {
    if (name === '$or' && Array.isArray(matchers)) return matchers.some((each) => matchesPattern(each, fields))
    const value = Object.hasOwn(fields, name) ? fields[name] : undefined
    if (!Array.isArray(matchers)) return matchesPattern(matchers, value)
    const values: Value[] = Array.isArray(value) ? value.flat(16) : [value]
    return matchers.some((matcher) =>
      values.length === 0 ? matchesOne(matcher, undefined) : values.some((each) => matchesOne(matcher, each)),
    )
  })
}

/** Throws what is wrong with a pattern: every part of it is tried, where matching stops at the first difference. */
export const checkPattern = (pattern: Json): void => {
  if (!isObject(pattern)) throw invalid('Filter is not an object')
  for (const [name, matchers] of Object.entries(pattern)) {
    if (name === '$or' && Array.isArray(matchers)) for (const each of matchers) checkPattern(each)
    else if (!Array.isArray(matchers)) {
      if (!isObject(matchers)) throw invalid(`"${name}" must be an object or an array`)
      checkPattern(matchers)
    } else if (matchers.length === 0) throw invalid('Empty arrays are not allowed')
    else for (const matcher of matchers) matchesOne(matcher, undefined)
  }
}

export const parsePattern = (text: string): Json => {
  let pattern: Json
  try {
    pattern = JSON.parse(text) as Json
  } catch {
    throw invalid('Filter is not valid JSON')
  }
  checkPattern(pattern)
  return pattern
}
