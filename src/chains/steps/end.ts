import { z } from 'zod'
import { compileTemplate } from '../../core/template.ts'
import type { EndStep } from '../model/definition.ts'
import { bad, good, opening } from '../model/outcomes.ts'
import type { StepKind } from '../model/step-kind.ts'
import { variables } from '../model/variables.ts'

/** What other steps may say of their attempts and of what follows: this one makes none, and nothing follows. */
const NOT_HERE = [
  'branches',
  'default_next',
  'on_failure',
  'allow_failure',
  'retry',
  'timeout_seconds',
  'compensate',
  'cache_ttl_seconds',
  'cache_key',
] as const

/** Ends the execution, wherever in the file it stands: as one that has come to its end, or as one that failed. */
export const endStep: StepKind<EndStep> = {
  kind: 'end',
  key: 'end',
  leaf: false,
  chooses: false,
  ends: ({ end }) => (end.code === undefined ? end.status : `${end.status}: ${end.code}`),
  shape: {
    end: z.strictObject({
      status: z.enum(['completed', 'failed']),
      code: z
        .string()
        .max(64)
        .regex(/^[a-z][a-z0-9_]*$/, 'must be a word like not_approved')
        .optional(),
      message: z.string().min(1).max(1000).optional(),
    }),
  },
  check(step, at) {
    const { status, code, message } = step.end
    for (const key of NOT_HERE)
      if (step[key] !== undefined) at.error([key], `an end step ends the execution: ${key} has no place in it`)
    if (status === 'failed' && code === undefined)
      at.error(['end', 'code'], 'an execution that fails says why: code is missing')
    for (const [key, value] of Object.entries({ code, message }))
      if (status === 'completed' && value !== undefined)
        at.error(['end', key], `${key} is for status = "failed": what is completed has no error`)
  },
  texts: ({ end }) => (end.message === undefined ? [] : [{ path: ['end', 'message'], source: end.message }]),
  prepare({ name, end }) {
    const { status, code = 'failed', message = `ended by step "${name}"` } = end
    const template = compileTemplate(message)
    return {
      enter(at) {
        // What the execution gives back is what the step before gave.
        const { body = null, status: last = null } = at.prev ?? {}
        if (status === 'completed') return { to: 'end', record: opening(at), over: { result: good(body, last) } }
        const missing: string[] = []
        const says = template.render(variables(at), missing)
        const error = { code, message: typeof says === 'string' ? says : JSON.stringify(says) }
        return { to: 'end', record: opening(at, missing), over: { result: bad(error) } }
      },
    }
  },
}
