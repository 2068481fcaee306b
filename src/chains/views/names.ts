import type { Scope } from '../../core/action.ts'
import { kinds } from '../../core/hold.ts'
import type { Redact } from '../../core/redact.ts'
import type { Entry, StateStore } from '../../core/state.ts'
import { readBeginning, readRun } from '../model/loaded.ts'
import { entityOf } from '../model/lock.ts'
import { type Beginning, beginningId, type Run } from '../model/run.ts'
import { attributesOf } from '../model/start.ts'

/** What an execution is found by, as it may be shown. */
export type Names = Pick<Run, 'entity' | 'attributes'>

/** Read at once: what an execution began with may be large. */
const AT_ONCE = 50

/**
 * The entity and the attributes are values of the origin under other names, so they are made once more, of the origin as it may be
 * shown. Where nothing is hidden, or an execution has none, nothing is read.
 */
export async function shownNames(
  state: StateStore,
  scope: Scope,
  entries: readonly Pick<Entry, 'value'>[],
  redact: Redact,
): Promise<ReadonlyMap<string, Names>> {
  const names = new Map<string, Names>()
  const hides = hidesAnything(redact)
  const asked: Run[] = []
  for (const { value } of entries) {
    const run = readRun(value)
    const { id, entity, attributes } = run
    if (hides && (entity !== undefined || attributes)) asked.push(run)
    else names.set(id, { ...(entity !== undefined && { entity }), ...(attributes && { attributes }) })
  }
  for (let i = 0; i < asked.length; i += AT_ONCE) {
    const runs = asked.slice(i, i + AT_ONCE)
    const found = await state.get(runs.map(({ id }) => ({ kind: kinds.step, scope, id: beginningId(id) })))
    for (const [n, run] of runs.entries()) {
      const beginning = found[n]
      // Without it nobody can tell any more what they were made of.
      names.set(run.id, beginning ? remade(run, readBeginning(beginning.value), redact) : {})
    }
  }
  return names
}

/** One that hides nothing gives back what it was given; others make a copy. */
function hidesAnything(redact: Redact): boolean {
  const value = {}
  return redact(value) !== value
}

function remade(run: Run, { origin, definitions }: Beginning, redact: Redact): Names {
  const shown = redact({ ...origin }) as typeof origin // hidden values are text, which is a value of the origin like another
  const { lock_by: path, attributes } = definitions[0]!
  // What runs below another has no lock of its own.
  const entity = run.entity === undefined || path === undefined ? undefined : nearest(path, shown)
  return {
    ...(entity !== undefined && { entity }),
    ...(attributes && { attributes: attributesOf(attributes, shown) }),
  }
}

/** What is hidden whole stands further up than the path ends. */
function nearest(path: string, origin: Beginning['origin']): string | undefined {
  const dot = path.lastIndexOf('.')
  return entityOf(path, origin) ?? (dot < 0 ? undefined : nearest(path.slice(0, dot), origin))
}
