import type { Scope } from './action.ts'
import type { AuditRow } from './audit.ts'

/**
 * The state port: a few atomic primitives. Leases, dedup, throttle, quotas, groups, chains, schedules, idempotency keys
 * and breakers are each written once above it.
 *
 * Invariants, on every backend:
 * 1 all or nothing per commit, one scope
 * 2 a guard may stay counted after a crash, never uncounted
 * 3 versions are the caller's and never reused; after an unknown result one read tells
 * 4 a write without the current claim changes nothing
 * 5 work never expires (an entry with a due time has no expiry)
 * 6 nothing is read destructively
 * 7 values are opaque text
 *
 * Every method rejects with StateUnavailable (nothing was done; StateTooLarge where nothing ever will be) or StateUnknown (it may be
 * done), and nothing else.
 * All times are milliseconds since the epoch on the store's clock.
 */
export interface StateStore {
  /** Entries in the order of the keys, undefined where absent or expired. One round trip. */
  get(keys: readonly Key[]): Promise<readonly (Entry | undefined)[]>
  /**
   * Applies the ops in order, all or nothing: the first that refuses undoes those before it and is named with what it
   * saw. Resolves when durable. Calls made while one is in flight travel together. `dry`: the same answer, nothing written.
   */
  commit(scope: Scope, ops: readonly Op[], opts?: { readonly dry?: boolean }): Promise<Committed | Refused>
  /**
   * Takes up to `limit` entries of the kind whose due time has come, oldest first within a scope, turns between scopes
   * (at most `perScope` of one). Each claim has owner, number (never reused) and until; the due time moves to `until`, and the
   * entry's attempts are counted, so a dead owner's entry comes back by itself. Fewer where they are large (PAGE_CHARS).
   */
  claim(
    kind: string,
    opts: { readonly owner: string; readonly leaseMs: number; readonly limit: number; readonly perScope?: number },
  ): Promise<readonly Claimed[]>
  /**
   * Entries of a kind in one scope by id, ascending; `after` is the last id of the page before. Expired ones are left out.
   * A page may have fewer than `limit` and a `next` all the same (PAGE_CHARS). Not for the kinds of `keptById` (hold.ts), and neither is `scopes`.
   */
  list(
    kind: string,
    scope: Scope,
    opts: { readonly tag?: string; readonly limit: number; readonly after?: string; readonly descending?: boolean },
  ): Promise<Page>
  /**
   * Scopes that have entries of a kind, in an order of the store's; `after` is the last of the page before. One whose entries have just
   * expired may still be among them.
   */
  scopes(kind: string, opts: { readonly limit: number; readonly after?: Scope }): Promise<readonly Scope[]>
  /** Counters, windows and buffers by id, read without changing them. */
  peek(
    kind: 'count' | 'admit' | 'buffer',
    scope: Scope,
    ids: readonly string[],
  ): Promise<readonly (Peeked | undefined)[]>
  /** The small versioned documents of a topic; every node has a change within a second. */
  control(topic: string): Promise<Control>
  /** A moment before which no entry of the kind is due, in any scope: when the first is, or somewhat before. Undefined: none ever is. */
  nextDue(kind: string): Promise<number | undefined>
  /** How much is waiting, by kind of due entry, across scopes: for metrics and readiness. */
  depths(): Promise<readonly Depth[]>
  close(): Promise<void>
}

/**
 * A page, or what one claim takes, ends when its values have so many characters, whatever its limit: at least one entry, and `next`. What
 * callers keep here may have megabytes each, and a thousand of those are more than a text can hold.
 */
export const PAGE_CHARS = 4_194_304

/** `id` is any text: encoding and hashing long ids is the backend's affair, and no two keys ever collide. */
export interface Key {
  readonly kind: string
  readonly scope: Scope
  readonly id: string
}
export interface ClaimRef {
  readonly owner: string
  readonly number: number
}
export interface Entry {
  readonly key: Key
  readonly value: string
  readonly version: string
  readonly tags: readonly string[]
  readonly dueAt?: number
  readonly expiresAt?: number
  /** Present while a claim is in force (its `until` is ahead). */
  readonly claim?: ClaimRef & { readonly until: number }
  /** How often the entry has been claimed since it was put with a new value of `attempts`, or born. */
  readonly attempts: number
}
export type Claimed = Entry & { readonly claim: ClaimRef & { readonly until: number } }
export interface Page {
  readonly entries: readonly Entry[]
  /** Pass as `after` for the next page; absent on the last. */
  readonly next?: string
}
export interface Depth {
  readonly kind: string
  /** Entries with a due time, claimed ones included. */
  readonly waiting: number
  /** Entries whose due time has come. */
  readonly due: number
  readonly oldestDueAt?: number
}
/** count: n. admit: n = admitted within the window. buffer: n = items, items and dueAt. */
export interface Peeked {
  readonly n: number
  readonly expiresAt?: number
  readonly dueAt?: number
  readonly bytes?: number
  readonly items?: readonly { readonly itemId: string; readonly item: string }[]
  readonly value?: string
}

/** Conditions shared by put and delete. One that fails refuses the commit, or with `orSkip` skips the op and reports it. */
interface Conditions {
  /** Only if the live entry has this version; null = only if there is none. An expired entry counts as none. */
  readonly ifVersion?: string | null
  /**
   * Only if this claim is the entry's current one. It stays current after it has run out, until another is made or the store
   * is opened anew: finished work is not turned into an error.
   */
  readonly ifClaim?: ClaimRef
  /** Only if no claim is in force. */
  readonly ifUnclaimed?: boolean
  readonly orSkip?: boolean
}
export type Op =
  | ({
      readonly op: 'put'
      readonly kind: string
      readonly id: string
      readonly value: string
      /** Made by the caller, never reused. */
      readonly version: string
      /** Replaces the entry's tags; left out = none. */
      readonly tags?: readonly string[]
      /**
       * Born or kept claimed: the claim is in force with this owner until then (number given by the store unless the put has
       * `ifClaim`, which keeps its number) and the due time is `until`. Left out, the entry is unclaimed after the put.
       */
      readonly claim?: { readonly owner: string; readonly until: number }
      /** When `claim` should return it. Work never expires: with a due time or a claim, expiresAt is ignored. */
      readonly dueAt?: number
      readonly expiresAt?: number
      /** Sets the counted attempts; left out they are kept (0 for a new entry). */
      readonly attempts?: number
    } & Conditions)
  /** Renews (`until`: the claim and due time move there) or ends (`dueAt`: unclaimed, due then; earlier if it was woken) a claim. Value and version stay. */
  | {
      readonly op: 'touch'
      readonly kind: string
      readonly id: string
      readonly ifClaim: ClaimRef
      readonly until?: number
      readonly dueAt?: number
    }
  | ({ readonly op: 'delete'; readonly kind: string; readonly id: string } & Conditions)
  /**
   * Due now; on a claimed entry it takes effect when that claim ends (by touch, by a put without `claim`, or by running out). An
   * absent entry is skipped and reported, and so is one that has ended (it has an expiry, not work to do).
   */
  | { readonly op: 'wake'; readonly kind: string; readonly id: string }
  /** Adds `by` unless that would pass `limit` (then refuses with n). The expiry is set when the counter begins, never extended. */
  | {
      readonly op: 'count'
      readonly id: string
      readonly by: number
      readonly limit?: number
      readonly expiresAt: number
    }
  /**
   * Sliding window: never more than `max` admitted in any span of `windowMs`. Exact (one time stamp each) while max <= 100; above,
   * counted in slots of windowMs/100, a slot counting as inside until its end has left the window. Refuses with `retryAt`, the
   * first moment another could be admitted if nobody else came. `max` applies to what is stored.
   */
  | { readonly op: 'admit'; readonly id: string; readonly max: number; readonly windowMs: number }
  /**
   * Adds an item to an open buffer (kind `buffer`, this id); the same itemId twice is once. An item that does not fit maxItems or
   * maxBytes beside those there seals them first; a buffer full after it is sealed at once. The first item opens it with
   * due = max(now + waitMs, last seal + intervalMs). `value` (opaque) is kept from the first item of the buffer. Bytes are the
   * UTF-8 bytes of the items. While it holds items a buffer is an entry of kind `buffer`, claimed and listed like any other.
   */
  | {
      readonly op: 'append'
      readonly id: string
      readonly itemId: string
      readonly item: string
      readonly value: string
      readonly maxItems: number
      readonly maxBytes: number
      readonly waitMs: number
      readonly intervalMs: number
      readonly into: SealInto
    }
  /**
   * The buffer becomes a frozen entry and is empty, in one step; a claim on it ends. An empty or absent buffer is skipped, and
   * reported. `ifDue`: only if the buffer's own due time has come (a claim does not move that one). `dueAt`: when `claim` should return
   * the entry; left out, at once.
   */
  | {
      readonly op: 'seal'
      readonly id: string
      readonly into: SealInto
      readonly ifDue?: boolean
      readonly dueAt?: number
    }
  /** A semaphore whose holders expire; the same holder again renews. Refuses at max. `until` 0 frees. */
  | { readonly op: 'slot'; readonly id: string; readonly holder: string; readonly max: number; readonly until: number }
  /** An audit row: in this transaction where the audit lives in the same store. Writing the same id twice is once. */
  | { readonly op: 'record'; readonly row: AuditRow }

/**
 * Where a sealed buffer goes: an entry of this kind, whose id is `<idPrefix>` + the store's seal number of that
 * buffer (1, 2, … never reused while the buffer is remembered) and whose value is JSON
 * `{"buffer": <buffer id>, "value": <the buffer's value, as text>, "seal": <number>, "sealed_at": <ms>, "items": [{"itemId","item","at"}]}`.
 */
export interface SealInto {
  readonly kind: string
  readonly idPrefix: string
  readonly tags?: readonly string[]
}

export interface Committed {
  readonly ok: true
  /** One per op, in order. */
  readonly results: readonly OpResult[]
}
export interface OpResult {
  /**
   * count, admit, slot: the new count. append: items in the buffer this one joined, itself included, also when that sealed it.
   * seal: items sealed.
   */
  readonly n?: number
  /** append: when the buffer is due. */
  readonly dueAt?: number
  /** put with `claim`: the claim's number. */
  readonly claimNumber?: number
  /** append, seal: ids of the entries sealed by this op. */
  readonly sealed?: readonly string[]
  /** An op that did nothing: orSkip's condition failed, nothing to wake or seal, the item was there already. */
  readonly skipped?: boolean
}
export interface Refused {
  readonly ok: false
  /** Index of the op that refused. */
  readonly at: number
  /** put, delete, touch: the entry as it stood. */
  readonly saw?: Entry
  readonly n?: number
  readonly retryAt?: number
}

export interface ControlDoc {
  readonly id: string
  readonly value: string
  readonly version: string
}
export interface ControlWrite {
  /** Only if the document has this version; null = only if there is none. */
  readonly ifVersion?: string | null
  /** Another document of the topic, put in the same commit, under a condition of its own. */
  readonly beside?: { readonly id: string; readonly value: string; readonly ifVersion: string | null }
  /** Further ops of the same commit, in the global scope: what belongs to the document and need not be in every node's memory. */
  readonly also?: readonly Op[]
  /** Audited in the same commit. */
  readonly record?: AuditRow | readonly AuditRow[]
}
/**
 * Reads answer from memory. A write resolves when durable and visible here; false when `ifVersion`, that of `beside`, or an op of `also`
 * did not hold, and then memory has seen what it did not hold against. What other nodes write is seen in the order of ids: who has seen
 * a document of theirs has seen all of the same commit whose ids sort behind it.
 */
export interface Control {
  get(id: string): ControlDoc | undefined
  all(): readonly ControlDoc[]
  put(id: string, value: string, write?: ControlWrite): Promise<boolean>
  delete(id: string, write?: ControlWrite): Promise<boolean>
  /** Called after every change, own ones included; returns the way to stop. */
  subscribe(changed: (id: string, doc: ControlDoc | undefined) => void): () => void
}
