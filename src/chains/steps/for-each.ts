import { z } from 'zod'
import { isObject, type Json } from '../../core/json.ts'
import { compileTemplate, isReference } from '../../core/template.ts'
import type { ForEachStep, Join, LeafStep } from '../model/definition.ts'
import { bad, failed, good, opening } from '../model/outcomes.ts'
import type { StepError } from '../model/run.ts'
import { groupKeys, json } from '../model/shape.ts'
import type { StepKind } from '../model/step-kind.ts'
import { variables } from '../model/variables.ts'

export const MOST_ITEMS = 1000

/** All of nothing have succeeded; one of nothing has not. */
function ofNothing(join: Join = 'all'): StepError | undefined {
  if (join === 'all') return undefined
  return { code: 'branch_failed', message: `0 of 0 succeeded, not ${join === 'any' ? 1 : join}` }
}

/** One step for each item of a list. */
export const forEachStep: StepKind<ForEachStep> = {
  kind: 'for_each',
  key: 'for_each',
  leaf: false,
  chooses: false,
  shape: {
    for_each: z.strictObject({
      ...groupKeys,
      items: json,
      max_items: z.int().min(1).max(MOST_ITEMS).optional(),
      step: z.custom<LeafStep>((v) => isObject(v), 'must be a step'),
    }),
  },
  check({ for_each: f }, at) {
    const most = f.max_items ?? MOST_ITEMS
    const path = ['for_each', 'items']
    if (Array.isArray(f.items)) {
      if (f.items.length > most) at.error(path, `there are ${f.items.length} items, and ${most} are allowed`)
    } else if (!isReference(f.items)) at.error(path, 'items is a list, or one template that gives one')
  },
  texts: ({ for_each: f }) => [{ path: ['for_each', 'items'], source: f.items }],
  prepare({ for_each: f }) {
    const template = compileTemplate(f.items)
    const most = f.max_items ?? MOST_ITEMS
    return {
      enter(at) {
        const missing: string[] = []
        const items = template.render(variables(at), missing)
        const record = opening(at, missing)
        if (!Array.isArray(items))
          return failed(record, { code: 'invalid_items', message: 'items did not give a list' })
        if (items.length > most)
          return failed(record, { code: 'too_many_items', message: `${items.length} items, and ${most} are allowed` })
        if (items.length === 0) return { to: 'end', record, over: { result: this.sum!([], ofNothing(f.join)) } }
        return { to: 'members', record: { ...record, items: items as readonly Json[] }, total: items.length }
      },
      sum(members, failure) {
        const items: readonly Json[] = members.map((m) => m ?? null)
        const succeeded = members.filter((m) => m?.success).length
        const body = { items, succeeded, failed: members.filter((m) => m && !m.success).length }
        return failure ? bad(failure, { body }) : good(body)
      },
    }
  },
}
