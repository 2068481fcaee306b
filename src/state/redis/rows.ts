import type { Scope } from '../../core/action.ts'
import type { Entry } from '../../core/state.ts'
import { fromText } from './text.ts'

const NO_TAGS: readonly string[] = []
const time = (text: string | undefined): number | undefined => (text === '-' ? undefined : Number(text))

/**
 * An entry as callers see it, of what lua/rows.ts packs; undefined when it has expired. A claim that has run out is not shown. The value
 * is behind the rest, or given by itself.
 */
export function entryOf(
  kind: string,
  scope: Scope,
  id: string,
  row: string,
  now: number,
  value?: string,
): Entry | undefined {
  const lines: string[] = []
  let from = 0
  for (let i = 0; i < 4; i++) {
    const end = row.indexOf('\n', from)
    lines.push(row.slice(from, end))
    from = end + 1
  }
  const [numbers, owner, version, tags] = lines as [string, string, string, string]
  const [dueAt, expiresAt, number, until, , attempts] = numbers.split(' ').map(time)
  if (expiresAt !== undefined && expiresAt <= now) return undefined
  return {
    key: { kind, scope, id },
    value: fromText(value ?? row.slice(from)),
    version: fromText(version),
    tags: tags === '' ? NO_TAGS : tags.slice(0, -1).split('\t').map(fromText),
    attempts: attempts!,
    ...(dueAt !== undefined && { dueAt }),
    ...(expiresAt !== undefined && { expiresAt }),
    ...(number !== undefined &&
      until !== undefined &&
      until > now && { claim: { owner: fromText(owner), number, until } }),
  }
}
