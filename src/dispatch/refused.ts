import { Problem } from '../core/errors.ts'
import { kinds } from '../core/hold.ts'
import type { Outcome } from '../core/outcome.ts'
import type { RunLimit } from '../core/plan.ts'
import type { Entry, Refused } from '../core/state.ts'
import { getDeadLetter } from '../delivery/dead-letters.ts'
import { type Admission, staleId } from './admission.ts'
import { readDedup } from './dedup.ts'
import { type Hot, hotOutcome } from './hot.ts'
import { readIdempotency } from './idempotency.ts'
import { common, readIntent } from './intent.ts'
import type { Parts } from './parts.ts'
import { duplicateOutcome, quotaOutcome, throttledOutcome } from './refusal.ts'
import type { Run } from './run.ts'
import type { Abandoned } from './takeover.ts'

type Duplicate = ReturnType<typeof duplicateOutcome>

/** What a refused admission comes to. */
export type Verdict =
  /** The outcome; nothing else of the plan happens. */
  | { readonly is: 'outcome'; readonly outcome: Outcome }
  /** The same; `trips`: its rule is to be switched off for it. */
  | { readonly is: 'hot'; readonly outcome: Hot; readonly trips: RunLimit | undefined }
  /** An answer stored under the same Idempotency-Key. */
  | { readonly is: 'replayed'; readonly outcome: Outcome }
  /** An earlier run under this key went unknown: go on with it. */
  | { readonly is: 'take_over'; readonly from: Abandoned }
  /** Held work alone: the first run under this key is under way, and whether this one is a duplicate shows when that has ended, in `ms` or later. */
  | { readonly is: 'behind'; readonly outcome: Duplicate; readonly ms: number }
  /** What stood in the way has moved: build the admission again; a key that nothing holds any more is taken from this version on. */
  | { readonly is: 'again'; readonly stale?: { readonly id: string; readonly version: string } }
  /** The held entry's claim is gone: somebody else has it. */
  | { readonly is: 'claim_lost' }

/** Reads what a refusal needs to be told: one round trip where a key's holder must be looked at. Throws Problem 409, 422. */
export async function judge(parts: Parts, run: Run, admission: Admission, refused: Refused): Promise<Verdict> {
  const about = admission.about[refused.at]
  const now = parts.env.clock.now()
  const base = { action_id: run.action.id, run_id: run.runId }
  switch (about?.is) {
    case 'throttle':
      return { is: 'outcome', outcome: throttledOutcome(base, about.guard, refused, now) }
    case 'quota':
      return { is: 'outcome', outcome: quotaOutcome(base, about.quota, refused, now) }
    case 'limit':
      return {
        is: 'hot',
        outcome: hotOutcome(run, about.limit, now),
        trips: about.limit.disabled ? undefined : about.limit,
      }
    case 'idempotency':
      return judgeKey(parts, run, refused.saw, now)
    case 'dedup':
      return judgeDedup(parts, run, about.guard.rule, refused.saw)
    case 'claim':
      return { is: 'claim_lost' }
    default:
      return { is: 'again' }
  }
}

async function judgeKey(parts: Parts, run: Run, saw: Entry | undefined, now: number): Promise<Verdict> {
  if (!saw) return { is: 'again' }
  const value = readIdempotency(saw)
  if (value.hash !== run.idempotency?.hash)
    throw new Problem(422, 'idempotency_mismatch', 'this Idempotency-Key was used with another body', {
      errors: [{ pointer: '', message: 'differs from the body first sent with this key' }],
    })
  if (value.answer) return { is: 'replayed', outcome: value.answer }
  const [intent] = await parts.state.get([{ kind: kinds.intent, scope: run.scope, id: value.runId }])
  const stored = intent && readIntent(intent.value)
  // Somebody who took the run over was told that it will happen, and so it does.
  if (stored?.putBack) return { is: 'replayed', outcome: { ...common(stored), outcome: 'accepted' } }
  if (intent?.claim)
    throw new Problem(
      409,
      'idempotency_in_progress',
      'the first request with this Idempotency-Key is still under way',
      {
        retryAfterMs: Math.min(1000, Math.max(1, intent.claim.until - now)),
      },
    )
  if (intent) return { is: 'take_over', from: { entry: intent } }
  if (value.state === 'pending') return { is: 'again' }
  return fromLetter(parts, run, value.letterId, saw)
}

async function judgeDedup(parts: Parts, run: Run, rule: string, saw: Entry | undefined): Promise<Verdict> {
  if (!saw) return { is: 'again' }
  const seen = readDedup(saw)
  // An action never duplicates itself: a released hold meets the key of its own admission.
  if (seen.runId === run.runId) return { is: 'again', stale: { id: staleId(saw.key), version: saw.version } }
  const outcome = duplicateOutcome({ action_id: run.action.id, run_id: run.runId }, rule, seen)
  if (seen.state === 'final') return { is: 'outcome', outcome }
  const [intent] = await parts.state.get([{ kind: kinds.intent, scope: run.scope, id: seen.runId }])
  // What was accepted, held work above all, is dropped for a delivery alone: the first may fail yet. It comes back when that may have ended.
  if (intent && run.held) return { is: 'behind', outcome, ms: endsIn(intent, parts.env.clock.now()) }
  if (intent && (intent.claim || readIntent(intent.value).accepted)) return { is: 'outcome', outcome }
  if (intent) return { is: 'take_over', from: { entry: intent } }
  if (seen.state === 'pending') return { is: 'again' }
  return fromLetter(parts, run, seen.letterId, saw)
}

/** One that is being sent may end at any moment, one that was put back not before it is due. */
const endsIn = ({ claim, dueAt = 0 }: Entry, now: number): number => (claim ? 0 : Math.max(0, dueAt - now))

/** A letter that was deleted, or reaped, holds its keys no more. */
async function fromLetter(parts: Parts, run: Run, id: string | undefined, key: Entry): Promise<Verdict> {
  const letter = id === undefined ? undefined : await getDeadLetter(parts.state, run.scope, id)
  if (letter) return { is: 'take_over', from: { letter } }
  return { is: 'again', stale: { id: staleId(key.key), version: key.version } }
}
