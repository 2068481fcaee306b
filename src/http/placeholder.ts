import { Problem } from '../core/errors.ts'
import type { Json } from '../core/json.ts'
import type { HttpDeps } from './deps.ts'

/** What was read redacted and is written back would put the placeholder in the place of the secret. Throws Problem 422 `placeholder_in_body`. */
export function notRedacted<T extends Json>(body: T, deps: HttpDeps): T {
  const { placeholder } = deps.auditPolicy()
  if (JSON.stringify(body).includes(JSON.stringify(placeholder)))
    throw new Problem(
      422,
      'placeholder_in_body',
      `the body holds ${JSON.stringify(placeholder)}, which stands for values that are not shown; write the values themselves`,
    )
  return body
}
