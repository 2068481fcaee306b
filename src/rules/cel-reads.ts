import type { ASTNode } from '@marcbachmann/cel-js'

/** Words of comprehensions and `bind`, whose first argument is a name of their own. */
export const MACROS = ['all', 'exists', 'exists_one', 'map', 'filter', 'bind']

export const children = (n: ASTNode): readonly ASTNode[] =>
  [n.args].flat(3).filter((a): a is ASTNode => typeof a === 'object' && a !== null && 'op' in a)

/** Every name that a comprehension or `bind` gives. */
export function namesGiven(n: ASTNode): readonly string[] {
  const inner = children(n).flatMap(namesGiven)
  const variable = n.op === 'rcall' && MACROS.includes(n.args[0]) ? n.args[2][0] : undefined
  return variable?.op === 'id' ? [variable.args, ...inner] : inner
}

/** The paths an expression looks up from its roots, as far as they are written out: `steps.look.body[0]` is `steps look body 0`. */
export function readsOf(root: ASTNode, names: readonly string[]): readonly (readonly string[])[] {
  const found: (readonly string[])[] = []
  function pathOf(n: ASTNode, bound: ReadonlySet<string>): readonly string[] | undefined {
    if (n.op === 'id') return names.includes(n.args) && !bound.has(n.args) ? [n.args] : undefined
    if (n.op === '.') return below(n.args[0], n.args[1], bound)
    if (n.op !== '[]') return undefined
    const key = n.args[1].op === 'value' ? n.args[1].args : undefined
    return typeof key === 'string' || typeof key === 'bigint' ? below(n.args[0], String(key), bound) : undefined
  }
  function below(of: ASTNode, key: string, bound: ReadonlySet<string>): readonly string[] | undefined {
    const path = pathOf(of, bound)
    return path && [...path, key]
  }
  function walk(n: ASTNode, bound: ReadonlySet<string>): void {
    const path = pathOf(n, bound)
    if (path) return void found.push(path)
    if (n.op !== 'rcall' || !MACROS.includes(n.args[0])) {
      for (const c of children(n)) walk(c, bound)
      return
    }
    const [, receiver, [variable, ...inner]] = n.args
    walk(receiver, bound)
    const within = variable?.op === 'id' ? new Set([...bound, variable.args]) : bound
    // What `bind` names is computed before there is the name.
    for (const [i, c] of inner.entries()) walk(c, n.args[0] === 'bind' && i === 0 ? bound : within)
  }
  walk(root, new Set())
  return found
}
