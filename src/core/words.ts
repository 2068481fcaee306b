import type { z } from 'zod'
import { didYouMean } from './nearest.ts'

/** How a schema's own findings are said where it has no words for them: given to each parse, so that none of the library's come through. */
export const IN_WORDS = { error: (issue: z.core.$ZodRawIssue): string => words(issue) }

function words(issue: z.core.$ZodRawIssue): string {
  const { input } = issue
  switch (issue.code) {
    case 'invalid_type':
      return input === undefined ? 'is required' : `expected ${EXPECTED[issue.expected] ?? issue.expected}`
    case 'invalid_value': {
      if (input === undefined) return 'is required'
      const known = issue.values.map(String)
      return `expected one of ${known.join(', ')}${typeof input === 'string' ? didYouMean(input, known) : ''}`
    }
    case 'too_small': {
      const { minimum: n, inclusive = true } = issue
      if (issue.origin === 'string') return n === 1 ? 'must not be empty' : `must have at least ${n} characters`
      if (issue.origin === 'array') return n === 1 ? 'must not be empty' : `must have at least ${n} entries`
      return inclusive ? `must be at least ${n}` : `must be more than ${n}`
    }
    case 'too_big': {
      const { maximum: n, inclusive = true } = issue
      if (issue.origin === 'string') return `longer than ${n} characters`
      if (issue.origin === 'array') return `has more than ${n} entries`
      return inclusive ? `must be at most ${n}` : `must be less than ${n}`
    }
    default:
      return input === undefined ? 'is required' : 'is not what is expected here'
  }
}

const EXPECTED: { readonly [type: string]: string } = {
  string: 'a string',
  number: 'a number',
  int: 'a whole number',
  boolean: 'true or false',
  array: 'a list',
  object: 'an object',
  record: 'an object',
}
