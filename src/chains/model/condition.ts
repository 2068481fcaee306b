import { follow, isObject, type Json, own, pathOf } from '../../core/json.ts'
import { didYouMean } from '../../core/nearest.ts'
import type { BranchTests, ConditionNode, Path } from './definition.ts'
import { conditionRoots, type Lookup } from './step-kind.ts'
import type { Variables } from './variables.ts'

/** As in rules: so deep and not deeper. */
const MAX_NESTING = 16
const SHAPES = ['all', 'any', 'not', 'field', 'cel'] as const

export type Holds = (seen: Variables) => boolean
type Wrong = (path: Path, message: string) => void
const NEVER: Holds = () => false

/** Where a condition looks: its fields, and what its expressions read. What is wrong with it is left to who compiles it. */
export function lookupsOf(node: Json, tests: BranchTests, path: Path = []): readonly Lookup[] {
  if (!isObject(node)) return []
  const field = own(node, 'field')
  if (typeof field === 'string') return [{ path: [...path, 'field'], reads: pathOf(field) }]
  const cel = own(node, 'cel')
  if (typeof cel === 'string') {
    const expression = tests.expression(cel, conditionRoots)
    return 'refused' in expression ? [] : expression.reads.map((reads) => ({ path: [...path, 'cel'], reads }))
  }
  return (['all', 'any', 'not'] as const).flatMap((key) => {
    const inner = own(node, key) ?? null
    if (Array.isArray(inner)) return inner.flatMap((x: Json, i) => lookupsOf(x, tests, [...path, key, i]))
    return lookupsOf(inner, tests, [...path, key])
  })
}

/** A rule's condition over the fields of a chain. What is wrong is said, and then never holds. */
export function compileConditionNode(node: ConditionNode, tests: BranchTests, wrong: Wrong): Holds {
  return compile(node, tests, wrong, [], 1)
}

function compile(node: Json, tests: BranchTests, wrong: Wrong, path: Path, depth: number): Holds {
  const refuse = (message: string, at: Path = path): Holds => {
    wrong(at, message)
    return NEVER
  }
  if (depth > MAX_NESTING) return refuse(`conditions nest to ${MAX_NESTING} levels, not more`)
  if (!isObject(node)) return refuse(`a condition is a table with one of ${SHAPES.join(', ')}`)
  const keys = Object.keys(node)
  const shapes = SHAPES.filter((s) => keys.includes(s))
  const [shape] = shapes
  if (shape === undefined || shapes.length > 1) {
    const near = shape === undefined && keys[0] !== undefined ? didYouMean(keys[0], SHAPES) : ''
    return refuse(`a condition has exactly one of ${SHAPES.join(', ')}${near}`)
  }
  if (shape === 'field') return leaf(node, tests, wrong, path)
  const odd = keys.find((k) => k !== shape)
  if (odd !== undefined) return refuse(`"${odd}" beside "${shape}" means nothing`, [...path, odd])
  const inner = own(node, shape)!
  if (shape === 'cel') {
    if (typeof inner !== 'string') return refuse('cel is text', [...path, 'cel'])
    const expression = tests.expression(inner, conditionRoots)
    if ('refused' in expression) return refuse(expression.refused, [...path, 'cel'])
    const { gives } = expression
    if (gives !== 'bool' && gives !== 'dyn')
      return refuse(`"cel" must be true or false, not ${gives}`, [...path, 'cel'])
    return (seen) => {
      const answer = expression.evaluate(seen)
      return 'value' in answer && answer.value === true
    }
  }
  if (shape === 'not') {
    const holds = compile(inner, tests, wrong, [...path, 'not'], depth + 1)
    return (seen) => !holds(seen)
  }
  if (!Array.isArray(inner) || inner.length === 0)
    return refuse(`"${shape}" is a list of at least one condition`, [...path, shape])
  const parts = inner.map((x: Json, i) => compile(x, tests, wrong, [...path, shape, i], depth + 1))
  return shape === 'all' ? (seen) => parts.every((p) => p(seen)) : (seen) => parts.some((p) => p(seen))
}

/** `field` with one or more operators, all of which must hold. */
function leaf(node: ConditionNode, tests: BranchTests, wrong: Wrong, path: Path): Holds {
  const field = own(node, 'field')
  const words = Object.keys(node).filter((k) => k !== 'field')
  if (typeof field !== 'string' || field === '') {
    wrong([...path, 'field'], 'field is text')
    return NEVER
  }
  const [root = '', ...rest] = pathOf(field)
  if (!(conditionRoots as readonly string[]).includes(root))
    wrong(
      [...path, 'field'],
      `a field begins with one of ${conditionRoots.join(', ')}${didYouMean(root, conditionRoots)}`,
    )
  if (words.length === 0) wrong(path, '"field" needs an operator beside it, such as eq, gt or exists')
  const parts: ((value: Json) => boolean)[] = []
  for (const word of words) {
    if (!tests.operators.includes(word)) {
      wrong([...path, word], `there is no operator "${word}"${didYouMean(word, tests.operators)}`)
      continue
    }
    const test = tests.compile(word, own(node, word))
    if (typeof test === 'string') wrong([...path, word], test)
    else parts.push(test)
  }
  return (seen) => {
    const value = follow(seen[root], rest) ?? null
    return parts.every((p) => p(value))
  }
}
