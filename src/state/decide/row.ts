import type { Entry } from '../../core/state.ts'
import { scopeParts } from '../scope.ts'

/** An entry as it is kept. Never changed: a change is another row, so that undoing is putting the old one back. */
export interface Row {
  readonly version: string
  readonly value: string
  readonly tags: readonly string[]
  readonly dueAt: number | undefined
  readonly expiresAt: number | undefined
  /** The last claim, in force while `until` is ahead; current until another is made. */
  readonly claim: { readonly owner: string; readonly number: number; readonly until: number } | undefined
  /** Woken while claimed: due at once when the claim ends. */
  readonly woken: boolean
  readonly attempts: number
}

export const NO_TAGS: readonly string[] = []

/** The row if it has not expired. */
export const unexpired = (row: Row | undefined, now: number): Row | undefined =>
  row !== undefined && (row.expiresAt === undefined || row.expiresAt > now) ? row : undefined

/** The entry as callers see it: a claim that has run out is not shown. */
export function entryOf(kind: string, scope: string, id: string, row: Row, now: number): Entry {
  return {
    key: { kind, scope: scopeParts(scope), id },
    value: row.value,
    version: row.version,
    tags: row.tags,
    attempts: row.attempts,
    ...(row.dueAt === undefined ? {} : { dueAt: row.dueAt }),
    ...(row.expiresAt === undefined ? {} : { expiresAt: row.expiresAt }),
    ...(row.claim !== undefined && row.claim.until > now ? { claim: row.claim } : {}),
  }
}
