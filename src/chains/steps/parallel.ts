import { z } from 'zod'
import { type Json, setOwn } from '../../core/json.ts'
import type { LeafStep, ParallelStep } from '../model/definition.ts'
import { bad, good, opening } from '../model/outcomes.ts'
import { groupKeys } from '../model/shape.ts'
import type { StepKind } from '../model/step-kind.ts'

const MOST = 50

/** Several steps at once; each has a result of its own, stored as it ends. */
export const parallelStep: StepKind<ParallelStep> = {
  kind: 'parallel',
  key: 'parallel',
  leaf: false,
  chooses: false,
  shape: {
    // The branches are steps, looked at one by one each by its kind.
    parallel: z.strictObject({
      ...groupKeys,
      branches: z.custom<readonly LeafStep[]>(
        (v) => Array.isArray(v) && v.length >= 1 && v.length <= MOST,
        `must be a list of 1 to ${MOST} steps`,
      ),
    }),
  },
  check({ parallel: p }, at) {
    const names = new Set<string>()
    for (const [i, b] of p.branches.entries()) {
      if (names.has(b.name)) at.error(['parallel', 'branches', i, 'name'], `there are two branches named "${b.name}"`)
      names.add(b.name)
    }
    if (typeof p.join === 'number' && p.join > p.branches.length)
      at.error(['parallel', 'join'], `join is ${p.join}, and there are ${p.branches.length} branches`)
  },
  texts: () => [],
  prepare: ({ parallel: { branches } }) => ({
    enter: (at) => ({ to: 'members', record: opening(at), total: branches.length }),
    sum(members, failure) {
      const body: Record<string, Json> = {}
      for (const [i, b] of branches.entries()) {
        const result = members[i]
        if (result) setOwn(body, b.name, result)
      }
      return failure ? bad(failure, { body }) : good(body)
    },
  }),
}
