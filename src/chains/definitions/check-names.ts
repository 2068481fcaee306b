import { isObject, type Json, own } from '../../core/json.ts'
import { didYouMean } from '../../core/nearest.ts'
import { compileTemplate, notATemplate } from '../../core/template.ts'
import {
  type Branch,
  type BranchTests,
  type ChainDefinition,
  innerSteps,
  isGraph,
  type Path,
  type Say,
  type StepDefinition,
} from '../model/definition.ts'
import { fieldRoots, itemRoots, templateRoots, undoRoots } from '../model/step-kind.ts'
import { kindOf } from '../steps/index.ts'
import { precedingSteps, waysOf } from './ways.ts'

/** What may be looked up at one place, and who tells what is wrong. */
interface Seen {
  readonly roots: readonly string[]
  /** Steps that can have run by then; undefined: not to be asked. */
  readonly run: ReadonlySet<string> | undefined
}

/** Names in templates, fields and expressions: roots that exist, steps that are there and can have run. */
export function checkNames(chain: ChainDefinition, at: Path, tests: BranchTests, say: Say): void {
  const ways = waysOf(chain)
  const names = new Set(chain.steps.map((s) => s.name))
  // A target that is not there has been said; whether steps behind it can run cannot be judged.
  const known = ways.every((w) => names.has(w.from) && (w.to === undefined || names.has(w.to)))
  const preceding = precedingSteps(ways)
  const look = (path: readonly string[], seen: Seen, what: string, tell: (message: string) => void) => {
    const message = wrongPath(path, seen, what, chain)
    if (message !== undefined) tell(message)
  }
  const template = (source: Json, path: Path, seen: Seen, what = 'a template reference') =>
    eachText(source, path, (text, here) => {
      const odd = notATemplate(text)
      if (odd !== undefined) say(here, odd, 'warning')
      for (const r of compileTemplate(text).references) {
        look(r.path, seen, what, (m) => say(here, `{{${r.text}}}: ${m}`))
        const none = notOfAResult(r.path)
        if (none !== undefined) say(here, `{{${r.text}}}: ${none}`, 'warning')
      }
    })
  const checkStep = (step: StepDefinition, path: Path, seen: Seen) => {
    const kind = kindOf(step)
    for (const { path: from, source } of kind.texts(step)) template(source, [...path, ...from], seen)
    for (const { path: from, reads } of kind.lookups?.(step, tests) ?? []) {
      // A root that is nowhere is refused by who compiles what looks it up.
      const roots = Object.hasOwn(ELSEWHERE, reads[0]!) ? seen.roots : [...seen.roots, reads[0]!]
      look(reads, { ...seen, roots }, 'a path', (m) => say([...path, ...from], `${reads.join('.')}: ${m}`))
    }
    if (step.cache_key !== undefined) template(step.cache_key, [...path, 'cache_key'], seen)
    // By the time it is undone, any step may have run.
    const undo = { roots: [...seen.roots, ...undoRoots], run: undefined }
    const payload = step.compensate?.payload_template
    if (payload !== undefined) template(payload, [...path, 'compensate', 'payload_template'], undo)
  }
  const checkBranch = (b: Branch, path: Path, seen: Seen) => {
    look(b.field.split('.'), seen, 'a branch field', (m) => say([...path, 'field'], m))
    if (!tests.operators.includes(b.operator))
      return say(
        [...path, 'operator'],
        `there is no operator "${b.operator}"${didYouMean(b.operator, tests.operators)}`,
      )
    const test = tests.compile(b.operator, b.value)
    if (typeof test === 'string') say([...path, 'value'], test)
  }

  for (const [i, step] of chain.steps.entries()) {
    const here = [...at, 'steps', i]
    const run = known ? preceding(step.name) : undefined
    checkStep(step, here, { roots: templateRoots, run })
    const inside = 'for_each' in step ? [...templateRoots, ...itemRoots] : templateRoots
    for (const inner of innerSteps(step)) checkStep(inner.step, [...here, ...inner.path], { roots: inside, run })
    const after = { roots: fieldRoots, run: run && new Set([...run, step.name]) }
    for (const [n, branch] of (step.branches ?? []).entries()) checkBranch(branch, [...here, 'branches', n], after)
  }
  for (const [name, text] of Object.entries(chain.attributes ?? {}))
    template(text, [...at, 'attributes', name], { roots: ['origin'], run: undefined }, 'an attribute')
}

/** Roots that are there in some places only. */
const ELSEWHERE: { readonly [root: string]: string } = {
  item: 'inside a for_each',
  index: 'inside a for_each',
  result: 'inside compensate',
}

/** What is wrong with a path, if anything. `what` looks it up. */
function wrongPath(
  path: readonly string[],
  { roots, run }: Seen,
  what: string,
  chain: ChainDefinition,
): string | undefined {
  const [root = '', name] = path
  if (!roots.includes(root)) {
    const place = own(ELSEWHERE, root)
    return typeof place === 'string'
      ? `"${root}" is there ${place} only`
      : `${what} begins with one of ${roots.join(', ')}${didYouMean(root, roots)}`
  }
  if (root !== 'steps' || name === undefined) return undefined
  const names = chain.steps.map((s) => s.name)
  if (!names.includes(name)) return `chain "${chain.name}" has no step "${name}"${hint(chain, name, names)}`
  if (!run || run.has(name)) return undefined
  return isGraph(chain)
    ? `"${name}" is none of the steps that must have ended first: say so with needs`
    : `"${name}" cannot have run before: no way leads from it to here`
}

const OF_A_RESULT = ['success', 'fallback', 'provider', 'status', 'body', 'error']
/** `steps.charge.id`, whose author means `steps.charge.body.id`, is always null. */
function notOfAResult([root = '', ...rest]: readonly string[]): string | undefined {
  const name = root === 'prev' || root === 'result' ? rest[0] : root === 'steps' ? rest[1] : undefined
  if (name === undefined || OF_A_RESULT.includes(name)) return undefined
  return `a result has ${OF_A_RESULT.join(', ')}; what the step gave is in its body`
}

/** Of a step inside a group: where its result is found. */
function hint(chain: ChainDefinition, name: string, names: readonly string[]): string {
  const group = chain.steps.find((s) => 'parallel' in s && s.parallel.branches.some((b) => b.name === name))
  return group ? `; it is a branch of "${group.name}": steps.${group.name}.body.${name}` : didYouMean(name, names)
}

function eachText(v: Json, path: Path, see: (text: string, path: Path) => void): void {
  if (typeof v === 'string') see(v, path)
  else if (Array.isArray(v)) for (const [i, x] of (v as readonly Json[]).entries()) eachText(x, [...path, i], see)
  else if (isObject(v)) for (const [k, x] of Object.entries(v)) eachText(x, [...path, k], see)
}
