import type { Scope } from '../core/action.ts'
import { joinParts } from '../core/ids.ts'

/** A scope as one text: length-prefixed, so that `a` + `b:c` and `a:b` + `c` differ. */
export const scopeText = (scope: Scope): string => joinParts(scope)

export function scopeParts(text: string): Scope {
  const colon = text.indexOf(':')
  const end = colon + 1 + Number(text.slice(0, colon))
  return [text.slice(colon + 1, end), text.slice(text.indexOf(':', end) + 1)]
}
