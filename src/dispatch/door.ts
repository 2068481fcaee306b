import type { Action } from '../core/action.ts'
import { Problem } from '../core/errors.ts'
import { didYouMean } from '../core/nearest.ts'
import type { Plan } from '../core/plan.ts'
import type { Parts } from './parts.ts'

/** A caller's provider must be one of those configured, whatever the rules may do. Throws Problem 422 `provider_unknown`. */
export function knownProvider(
  { deliver }: Pick<Parts, 'deliver'>,
  { provider }: Action,
  names: () => Iterable<string>,
): void {
  if (provider === undefined || deliver.has(provider)) return
  const message = `no provider has this name${didYouMean(provider, names())}`
  throw new Problem(422, 'provider_unknown', 'the provider is not configured', {
    errors: [{ pointer: '/provider', message }],
  })
}

/** What is to be delivered needs somebody to have said where to. Throws Problem 422 `provider_required`. */
export function namedProvider({ end }: Plan): void {
  if (end.kind !== 'deliver' || end.provider !== undefined) return
  throw new Problem(
    422,
    'provider_required',
    'neither the action nor a rule names a provider, and there is no default',
    { errors: [{ pointer: '/provider', message: 'is required here' }] },
  )
}
