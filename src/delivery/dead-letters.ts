import type { Action, Scope } from '../core/action.ts'
import { scopeOf } from '../core/action.ts'
import { actionTag, kinds, kinTags } from '../core/hold.ts'
import { deliveryToken, joinParts } from '../core/ids.ts'
import type { Json, JsonObject } from '../core/json.ts'
import type { Lineage } from '../core/lineage.ts'
import { firstEntries } from '../core/pages.ts'
import type { Resume } from '../core/plan.ts'
import type { Redact } from '../core/redact.ts'
import type { Entry, Op, StateStore } from '../core/state.ts'

/** Whose work it was, so that a redrive can go on with it. */
export interface DeadLetterOrigin {
  readonly kind: 'dispatch' | 'release' | 'flush' | 'copy' | 'occurrence' | 'chain_step'
  readonly hold_id?: string
  readonly chain_id?: string
  readonly step?: string
  readonly iteration?: number
  /** It was to undo the step. */
  readonly undo?: true
}

/** What a dead letter said that a redrive has replaced. */
export type FirstLetter = Pick<DeadLetter, 'id' | 'created_at' | 'code' | 'message'>

/** An action that could not be delivered, whole: everything a redrive needs. The value of a `dead_letter` entry. */
export interface DeadLetter {
  /** UUIDv7: letters sort by age. */
  readonly id: string
  readonly created_at: string
  readonly action: Action
  /** Where it was last to go; empty where nothing names one. */
  readonly provider: string
  readonly requested_provider?: string
  /** The rule's own fallback. */
  readonly fallback?: string
  readonly run_id: string
  readonly audit_id?: string
  readonly token: string
  /** What was stored to be sent to `provider`, and is sent again as it is. */
  readonly request: Json
  readonly code: string
  readonly message: string
  /** The other side may have acted. */
  readonly unknown: boolean
  readonly attempts: number
  readonly first_attempt_at?: string
  /** The caller was answered `failed` or `circuit_open`, and may have repeated it. */
  readonly told_caller: boolean
  readonly origin: DeadLetterOrigin
  /** It went to no provider: the rule was to start the chain with it, and that is what a redrive does. */
  readonly starts?: { readonly chain: string; readonly rule: string }
  /** What it had behind it, for a redrive and for what is made of the letter. */
  readonly lineage?: Lineage
  /** The dedup keys it held. */
  readonly dedup?: readonly { readonly id: string; readonly ttl_ms: number; readonly expires_at: string }[]
  /** State id of the Idempotency-Key it was admitted under. */
  readonly idempotency?: string
  /** What the part that admitted it needs to go on (rule, matched rules, caller …): opaque here, shown by no route. */
  readonly context?: JsonObject
  /**
   * It was not on its way to a provider: a redrive goes on at the rules, behind `resume` (absent: from the top). `action`: as it came to
   * them, where they have changed it since.
   */
  readonly resumes?: { readonly action?: Action; readonly resume?: Resume }
  /** Redrives that came to nothing, the letter they began with, and why that one was written. */
  readonly redrives: number
  readonly first?: FirstLetter
  /** Of the last redrive: part of `token`. */
  readonly nonce?: string
}

/**
 * Letters carry a due time, this far off without a `ttl_seconds`: it is when they are reaped, and it makes the store's
 * `depths()` count them over all scopes, a count that no crash can falsify.
 */
export const KEPT_FOR_EVER = Date.UTC(9999, 11, 31)

// A letter that comes back after a redrive has a higher count, so a version is never used twice.
const versionOf = (letter: DeadLetter): string => String(letter.redrives)
const tagOf = (filter: { readonly provider?: string; readonly code?: string }): string | undefined => {
  if (filter.provider === undefined && filter.code === undefined) return undefined
  return joinParts(['dlq', filter.provider ?? '', filter.code ?? ''])
}

/** Stores a letter; twice is once. Commit in `scopeOf(letter.action)`. `ttlMs`: reaped after that. */
export function putDeadLetter(letter: DeadLetter, ttlMs?: number): readonly Op[] {
  const { provider, code } = letter
  return [
    {
      op: 'put',
      kind: kinds.deadLetter,
      id: letter.id,
      value: JSON.stringify(letter),
      version: versionOf(letter),
      tags: [
        actionTag(letter.action.id),
        tagOf({ provider })!,
        tagOf({ code })!,
        tagOf({ provider, code })!,
        ...kinTags(letter.origin.kind, letter.action, parentOf(letter)),
      ],
      dueAt: ttlMs === undefined ? KEPT_FOR_EVER : Date.parse(letter.created_at) + ttlMs,
      ifVersion: null,
      orSkip: true,
    },
  ]
}

/** Removes a letter that is as it was read: of two redrives, or a redrive and a delete, one commit is refused. */
export function deleteDeadLetter(letter: DeadLetter): readonly Op[] {
  return [{ op: 'delete', kind: kinds.deadLetter, id: letter.id, ifVersion: versionOf(letter) }]
}

/**
 * The letter as it goes out again: a fresh nonce makes a token no receiver has seen, and the request is rendered under it,
 * as a request may carry its token. Commit it with `deleteDeadLetter(letter)`. Throws what `render` throws.
 */
export function redriven(
  letter: DeadLetter,
  nonce: string,
  render: (action: Action, provider: string, token: string, lineage: Lineage | undefined) => Json,
): DeadLetter & { readonly nonce: string } {
  const { step, iteration } = letter.origin
  const token = deliveryToken(letter.run_id, step, iteration, nonce)
  const request = render(letter.action, letter.provider, token, letter.lineage)
  return { ...letter, nonce, token, request, redrives: letter.redrives + 1 }
}

function parentOf({ context }: DeadLetter): string | undefined {
  const parent = context?.['parentId']
  return typeof parent === 'string' ? parent : undefined
}
export const readDeadLetter = (e: Entry): DeadLetter => JSON.parse(e.value) as DeadLetter

export async function getDeadLetter(state: StateStore, scope: Scope, id: string): Promise<DeadLetter | undefined> {
  const [entry] = await state.get([{ kind: kinds.deadLetter, scope, id }])
  return entry && readDeadLetter(entry)
}

/** Newest first. `after`: the `next` of the page before. */
export async function listDeadLetters(
  state: StateStore,
  scope: Scope,
  page: { readonly limit: number; readonly after?: string; readonly provider?: string; readonly code?: string },
): Promise<{ readonly letters: readonly DeadLetter[]; readonly next?: string }> {
  const tag = tagOf(page)
  const found = await state.list(kinds.deadLetter, scope, {
    limit: page.limit,
    descending: true,
    ...(tag === undefined ? {} : { tag }),
    ...(page.after === undefined ? {} : { after: page.after }),
  })
  return { letters: found.entries.map(readDeadLetter), ...(found.next === undefined ? {} : { next: found.next }) }
}

/** Letters of one action, newest first. */
export async function deadLettersOf(state: StateStore, scope: Scope, actionId: string): Promise<readonly DeadLetter[]> {
  const where = { limit: 100, descending: true, tag: actionTag(actionId) }
  return (await firstEntries(state, kinds.deadLetter, scope, where)).map(readDeadLetter)
}

/** How many there are, over all scopes. */
export async function countDeadLetters(state: StateStore): Promise<number> {
  return (await state.depths()).find((d) => d.kind === kinds.deadLetter)?.waiting ?? 0
}

/** Removes letters whose `ttl_seconds` is over; answers how many. A letter redriven meanwhile is left alone. */
export async function reapDeadLetters(
  state: StateStore,
  opts: { readonly owner: string; readonly limit: number },
): Promise<number> {
  let gone = 0
  for (let left = opts.limit; left > 0; ) {
    // Of large letters a claim takes few.
    const due = await state.claim(kinds.deadLetter, { owner: opts.owner, leaseMs: 30_000, limit: left })
    if (due.length === 0) break
    left -= due.length
    const done = await Promise.all(
      due.map((e) =>
        state.commit(e.key.scope, [
          { op: 'delete', kind: kinds.deadLetter, id: e.key.id, ifVersion: e.version, ifClaim: e.claim },
        ]),
      ),
    )
    gone += done.filter((d) => d.ok).length
  }
  return gone
}

/** What a route shows: redacted, without what only delivery needs (request, token, nonce, keys). */
export function deadLetterView(letter: DeadLetter, redact: Redact): JsonObject {
  const {
    request: _request,
    token: _token,
    nonce: _nonce,
    dedup: _dedup,
    idempotency: _idempotency,
    context: _context,
    lineage: _lineage,
    resumes: _resumes,
    ...shown
  } = letter
  // Where nothing named one it is kept as no text.
  return redact(JSON.parse(JSON.stringify({ ...shown, provider: shown.provider || undefined })) as JsonObject)
}

export const letterScope = (letter: DeadLetter): Scope => scopeOf(letter.action)
