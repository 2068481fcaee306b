import { type AuditRow, type AuditRows, outboxRows, outboxText } from '../core/audit.ts'
import type { Log } from '../core/env.ts'
import { kinds } from '../core/hold.ts'
import { portions } from '../core/portions.ts'
import type { Claimed, StateStore } from '../core/state.ts'
import { AT_ONCE, refusal, say } from './refusal.ts'
import { shortened } from './shorten.ts'

const LEASE_MS = 30_000
/** Entries of one claim: one may be the records of a hundred commits. */
const BATCH = 64
/** From which claim on a record that the audit does not take is shortened, and from which on it is set aside. */
const SHORTENED_AT = 3
const SET_ASIDE_AT = 6

/** What gateways of before have left is looked for so often: each look is a request, and there is hardly ever any. */
const OLD_EVERY_MS = 60_000
const BOTH = [kinds.auditOutbox, kinds.rowOutbox]
const rowsOf = ({ key, value }: Claimed): readonly AuditRow[] =>
  key.kind === kinds.rowOutbox ? [JSON.parse(value) as AuditRow | AuditRow[]].flat() : outboxRows(value)

export interface Draining {
  readonly enough?: AbortSignal | undefined
  /** What else is to be carried has its time after each claim. */
  readonly between?: () => Promise<void>
  /** Kinds of entries; left out: all there are. */
  readonly from?: readonly string[]
}

/** Where to look this time: the old kind only now and then. */
export function outboxes(now: () => number): () => readonly string[] {
  let next = Number.NEGATIVE_INFINITY
  return () => {
    if (now() < next) return [kinds.auditOutbox]
    next = now() + OLD_EVERY_MS
    return BOTH
  }
}

/**
 * Carries records over from the outbox that a state store opened with `auditElsewhere` fills: those that nobody has carried who had
 * them in memory (handed.ts); answers how many. Safe to run on several nodes, and again after a crash.
 *
 * 1 A record leaves the outbox only when the audit has it, or has said no to it again and again: then it is kept in the state, set aside.
 * 2 The claim has counted before anything is tried. What the audit says no to comes due again with its claim and holds nothing else up.
 * 3 Rejects where the audit is away: all that was claimed comes due again.
 * 4 Others may fill the outbox as fast as it is emptied: so it ends when it is told that it is enough, with what it has claimed.
 */
export async function drainOutbox(
  state: StateStore,
  audit: Pick<AuditRows, 'append'>,
  owner: string,
  log: Log,
  { enough, between, from = BOTH }: Draining = {},
): Promise<number> {
  let carried = 0
  for (const kind of from) carried += await drain(kind)
  return carried

  async function drain(kind: string): Promise<number> {
    let carried = 0
    while (!enough?.aborted) {
      const entries = await state.claim(kind, { owner, leaseMs: LEASE_MS, limit: BATCH })
      if (entries.length === 0) break
      for (const some of portions(entries, (e) => e.value.length, AT_ONCE)) carried += await carry(some)
      await between?.()
    }
    return carried
  }

  async function carry(entries: readonly Claimed[]): Promise<number> {
    const no = await taken(() => entries.flatMap(rowsOf))
    if (typeof no === 'number') {
      await Promise.all(entries.map((entry) => end(entry)))
      return no
    }
    const [alone, more] = entries
    if (more === undefined) return carryParts(alone!, no)
    let carried = 0
    for (const entry of entries) carried += await carry([entry])
    return carried
  }
  /** Finds the records at fault in an entry the audit has said no to. */
  async function carryParts(entry: Claimed, no: string): Promise<number> {
    const { attempts } = entry
    const left: AuditRow[] = []
    let why = no
    let rows: readonly AuditRow[] = []
    try {
      rows = rowsOf(entry)
    } catch {
      // What is no record is as little taken as one the audit does not take.
      if (attempts >= SET_ASIDE_AT) await setAside(entry, entry.value, no)
      else warn(entry, no)
      return 0
    }
    for (const row of rows) {
      const whole = await taken(() => [row])
      if (typeof whole === 'number') continue
      why = whole
      const short = attempts < SHORTENED_AT ? whole : await taken(() => [shortened(row, whole)])
      if (typeof short !== 'number') left.push(row)
    }
    if (left.length === 0) await end(entry)
    else if (attempts >= SET_ASIDE_AT) await setAside(entry, outboxText(left), why)
    else warn(entry, why)
    return rows.length - left.length
  }

  /** How many records the audit took; else why it does not take them. */
  async function taken(rows: () => readonly AuditRow[]): Promise<number | string> {
    let all: readonly AuditRow[]
    try {
      all = rows()
    } catch (e) {
      return say(e)
    }
    return (await refusal(audit, all)) ?? all.length
  }
  function warn({ key, attempts }: Claimed, why: string): void {
    log.warn({ entry: key.id, attempts, why }, 'the audit does not take a record; it is tried again')
  }
  /** `value` in place of the entry, for who looks for it. */
  async function setAside(entry: Claimed, value: string, why: string): Promise<void> {
    const { id, scope } = entry.key
    const kind = kinds.auditRefused
    const kept = { op: 'put', kind, id, value, version: entry.version } as const
    const { ok } = await state.commit(scope, [ending(entry), kept])
    if (ok) log.error({ kind, scope, id, why }, 'the audit does not take a record: it is set aside in the state')
  }
  async function end(entry: Claimed): Promise<void> {
    await state.commit(entry.key.scope, [{ ...ending(entry), orSkip: true }])
  }
}
const ending = ({ key, claim: { owner, number } }: Claimed) =>
  ({ op: 'delete', kind: key.kind, id: key.id, ifClaim: { owner, number } }) as const
