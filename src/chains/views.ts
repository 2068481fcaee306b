import { actionTag, kinds } from '../core/hold.ts'
import type { JsonObject } from '../core/json.ts'
import type { Redact } from '../core/redact.ts'
import type { StateStore } from '../core/state.ts'
import type { Chains } from './chains.ts'
import { readBeginning, readRecord, readRun } from './load.ts'
import type { AuditPolicy } from './records.ts'
import { beginningId, chainStatusTag, chainTag, statusTag, stepId } from './run.ts'
import { runView, stepViews } from './view.ts'

export interface ViewsDeps {
  readonly state: StateStore
  readonly audit: () => AuditPolicy
}

/** Reading executions. Everything shown is redacted. */
export function createViews({ state, audit }: ViewsDeps): Pick<Chains, 'get' | 'list' | 'byAction'> {
  const redact: Redact = (v) => audit().redact(v)
  return {
    async get(scope, id) {
      const [entry] = await state.get([{ kind: kinds.run, scope, id }])
      if (!entry) return undefined
      const run = readRun(entry.value)
      const ids = Object.entries(run.entered).flatMap(([step, n]) =>
        Array.from({ length: n }, (_, i) => stepId(id, step, i)),
      )
      const [begin, ...entries] = await state.get(
        [beginningId(id), ...ids].map((i) => ({ kind: kinds.step, scope, id: i })),
      )
      const records = entries.filter((e) => e !== undefined).map((e) => readRecord(e.value))
      const definition = begin && readBeginning(begin.value).definitions[0]
      // A step's input is the payload of what it sends, and hidden as one.
      const steps = stepViews(run, definition, records).map(
        ({ input, ...step }): JsonObject =>
          input === undefined ? step : { ...step, input: redact({ payload: input }).payload },
      )
      const view: JsonObject = { ...runView(scope, run), steps }
      return redact(view)
    },
    async list(scope, { status, name, limit, after }) {
      const tag =
        name !== undefined && status !== undefined
          ? chainStatusTag(name, status)
          : name !== undefined
            ? chainTag(name)
            : status !== undefined
              ? statusTag(status)
              : undefined
      const page = await state.list(kinds.run, scope, {
        limit,
        descending: true,
        ...(tag !== undefined && { tag }),
        ...(after !== undefined && { after }),
      })
      const chains = page.entries.map((e) => redact(runView(scope, readRun(e.value))))
      return { chains, ...(page.next !== undefined && { next: page.next }) }
    },
    async byAction(scope, actionId) {
      const page = await state.list(kinds.run, scope, { tag: actionTag(actionId), limit: 100 })
      return page.entries.map((e) => redact(runView(scope, readRun(e.value))))
    },
  }
}
