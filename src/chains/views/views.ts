import type { Scope } from '../../core/action.ts'
import { actionTag, groupTag, kinds } from '../../core/hold.ts'
import { uuidv7Floor, uuidv7Time } from '../../core/ids.ts'
import { isObject, type JsonObject, own } from '../../core/json.ts'
import { firstEntries } from '../../core/pages.ts'
import type { Redact } from '../../core/redact.ts'
import type { Entry, StateStore } from '../../core/state.ts'
import type { Deliver } from '../../delivery/delivery.ts'
import type { Chains, SearchChains } from '../chains.ts'
import { compileChain } from '../definitions/compile.ts'
import type { Chain } from '../model/compiled.ts'
import type { BranchTests, ChainDefinition } from '../model/definition.ts'
import { readHistory } from '../model/history-pages.ts'
import { readBeginning, readRecord, readRun } from '../model/loaded.ts'
import { entityName } from '../model/lock.ts'
import type { AuditPolicy } from '../model/records.ts'
import {
  attributeTag,
  beginningId,
  chainStatusTag,
  chainTag,
  entityTag,
  hasEnded,
  type Run,
  type StepRecord,
  statusTag,
} from '../model/run.ts'
import { ATTRIBUTE_CHARACTERS } from '../model/start.ts'
import { eventView } from './events.ts'
import { shownNames } from './names.ts'
import { alsoWaiting, lacking, runView, stepViews } from './view.ts'

export interface ViewsDeps {
  readonly state: StateStore
  readonly tests: BranchTests
  readonly audit: () => AuditPolicy
  readonly deliver: Pick<Deliver, 'has'>
}

/** Entries read at once, and looked at for one page of a search before it says where to go on. */
const PAGE = 200
const FEW = 10
const MOST_LOOKED_AT = 2000

/** Reading executions. Everything shown is redacted. */
export function createViews({
  state,
  tests,
  audit,
  deliver,
}: ViewsDeps): Pick<Chains, 'get' | 'list' | 'byAction' | 'isUnderWay' | 'byGroup' | 'history' | 'definitionOf'> {
  const redact: Redact = (v) => audit().redact(v)
  /** What a step sends is the payload of an action, and hidden as one. */
  const hideInput = ({ input, ...view }: JsonObject): JsonObject =>
    input === undefined ? view : { ...view, input: redact({ payload: input }).payload }

  const ofAction = (scope: Scope, actionId: string): Promise<readonly Entry[]> =>
    firstEntries(state, kinds.run, scope, { tag: actionTag(actionId), limit: 100 })

  async function find(scope: Scope, id: string): Promise<Entry | undefined> {
    const [entry] = await state.get([{ kind: kinds.run, scope, id }])
    return entry
  }
  async function definitionOf(scope: Scope, id: string): Promise<ChainDefinition | undefined> {
    const [begin] = await state.get([{ kind: kinds.step, scope, id: beginningId(id) }])
    return begin && readBeginning(begin.value).definitions[0]
  }
  async function records(scope: Scope, id: string, what: 'step' | 'undo'): Promise<readonly StepRecord[]> {
    const prefix = `${id}/${what}/`
    const out: StepRecord[] = []
    for (let after: string | undefined = prefix; after !== undefined; ) {
      const page = await state.list(kinds.step, scope, { limit: PAGE, after })
      after = page.next
      for (const e of page.entries) {
        if (!e.key.id.startsWith(prefix)) return out
        out.push(readRecord(e.value))
      }
    }
    return out
  }
  const namesOf = (scope: Scope, entries: readonly Entry[]) => shownNames(state, scope, entries, redact)
  async function shown(scope: Scope, entries: readonly Entry[]): Promise<readonly JsonObject[]> {
    const names = await namesOf(scope, entries)
    return entries.map((e) => redact(runView(e, names.get(e.key.id)!)))
  }
  const chainOf = (definition: ChainDefinition | undefined): Chain | undefined =>
    definition && compileChain(definition, tests)

  return {
    definitionOf,
    async get(scope, id) {
      const entry = await find(scope, id)
      if (!entry) return undefined
      const [definition, seen, undoing] = await Promise.all([
        definitionOf(scope, id),
        records(scope, id, 'step'),
        records(scope, id, 'undo'),
      ])
      const run = readRun(entry.value)
      const chain = chainOf(definition)
      const steps = stepViews(run, chain, seen, undoing).map(
        ({ compensation, ...step }): JsonObject => ({
          ...hideInput(step),
          ...(isObject(compensation) && { compensation: hideInput(compensation) }),
        }),
      )
      const names = await namesOf(scope, [entry])
      const lacks = lacking(run, chain, (name) => deliver.has(name))
      return redact({ ...alsoWaiting(runView(entry, names.get(id)!), lacks), steps })
    },

    async history(scope, id, { limit, after }) {
      const entry = await find(scope, id)
      if (!entry) return undefined
      const names = (await namesOf(scope, [entry])).get(id)!
      const entries: JsonObject[] = []
      let next: string | undefined
      for await (const { seq, events } of readHistory(state, scope, id, after === undefined ? 0 : Number(after) + 1)) {
        if (entries.length === limit) {
          next = String(entries.at(-1)!['seq'])
          break
        }
        entries.push(redact({ seq, events: events.map((e) => eventView(e, names)) }))
      }
      return { entries, ...(next !== undefined && { next }) }
    },

    async list(scope, search) {
      const { limit, from, to } = search
      const found: Entry[] = []
      let after = search.after ?? (to === undefined ? undefined : uuidv7Floor(to + 1))
      const tag = tagOf(search)
      for (let looked = 0; looked < MOST_LOOKED_AT; ) {
        const page = await state.list(kinds.run, scope, {
          // More than asked for: what is found by the tag may not be what is looked for.
          limit: PAGE,
          descending: true,
          ...(tag !== undefined && { tag }),
          ...(after !== undefined && { after }),
        })
        for (const e of page.entries) {
          looked++
          // Ids begin with the moment of the start: what follows is older still.
          if (from !== undefined && uuidv7Time(e.key.id) < from) return { chains: await shown(scope, found) }
          const run = readRun(e.value)
          after = e.key.id
          if (!matches(run, search)) continue
          found.push(e)
          if (found.length === limit) {
            const last = page.entries.at(-1)?.key.id === after && page.next === undefined
            return { chains: await shown(scope, found), ...(!last && { next: after }) }
          }
        }
        if (page.next === undefined) return { chains: await shown(scope, found) }
        after = page.next
      }
      return { chains: await shown(scope, found), ...(after !== undefined && { next: after }) }
    },
    byAction: async (scope, actionId) => shown(scope, await ofAction(scope, actionId)),
    isUnderWay: async (scope, actionId) =>
      (await ofAction(scope, actionId)).some((entry) => !hasEnded(readRun(entry.value))),
    async byGroup(scope, groupId, isIt) {
      const tag = groupTag(groupId)
      const runs = await firstEntries(state, kinds.run, scope, { tag, limit: 100, descending: true })
      const found: Entry[] = []
      // What they began with may be large, so few at once.
      for (let i = 0; i < runs.length; i += FEW) {
        const some = runs.slice(i, i + FEW)
        const keys = some.map((e) => ({ kind: kinds.step, scope, id: beginningId(e.key.id) }))
        for (const [n, begin] of (await state.get(keys)).entries())
          if (begin && isIt(readBeginning(begin.value).origin)) found.push(some[n]!)
      }
      return shown(scope, found)
    },
  }
}

/** As it is kept with an execution. */
const cut = (value: string): string => value.slice(0, ATTRIBUTE_CHARACTERS)
/** The narrowest of what is asked for; the rest is looked at in what is found by it. */
function tagOf({ status, name, entity, attribute }: SearchChains): string | undefined {
  if (entity !== undefined) return entityTag(entityName(entity))
  if (attribute) return attributeTag(attribute.name, cut(attribute.value))
  if (name !== undefined && status !== undefined) return chainStatusTag(name, status)
  if (name !== undefined) return chainTag(name)
  return status === undefined ? undefined : statusTag(status)
}
function matches(run: Run, { status, name, entity, attribute }: SearchChains): boolean {
  if (status !== undefined && run.status !== status) return false
  if (name !== undefined && run.chain !== name) return false
  if (entity !== undefined && run.entity !== entityName(entity)) return false
  return !attribute || own(run.attributes ?? {}, attribute.name) === cut(attribute.value)
}
