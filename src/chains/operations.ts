import type { Scope } from '../core/action.ts'
import type { Env } from '../core/env.ts'
import { notFound, Problem } from '../core/errors.ts'
import { kinds } from '../core/hold.ts'
import { joinParts, uuidv7Time } from '../core/ids.ts'
import type { JsonObject } from '../core/json.ts'
import type { Entry, Op, StateStore } from '../core/state.ts'
import type { Chains } from './chains.ts'
import { bytesOf } from './decide/turn.ts'
import {
  type Message,
  MOST_MESSAGE_BYTES,
  MOST_MESSAGES,
  putCame,
  putCancel,
  putSaid,
  readInbox,
} from './model/inbox.ts'
import { readRun } from './model/loaded.ts'
import { endedStatuses, hasEnded, type Run, statusTag } from './model/run.ts'

type Put = Extract<Op, { op: 'put' }>
export interface OperationsDeps {
  readonly state: StateStore
  readonly env: Env
  /** Tells the driver of an execution, if it is here, that it has mail. */
  readonly poke: (id: string) => void
  readonly woke: () => void
  /** As `Tools.mostEntries`. */
  readonly mostEntries: () => number
}

/** What is said to executions from outside. None of it writes a claimed record: its owner acts on what was said. */
export function createOperations(
  deps: OperationsDeps,
): Pick<Chains, 'cancel' | 'pause' | 'resume' | 'signal' | 'purge'> {
  const { state, env } = deps
  const ended = (run: Run) => new Problem(409, 'chain_ended', `the execution has ended: ${run.status}`)

  /** Leaves a message, and wakes the execution. `key`: put with it, only if it is not there; what is there is answered. `came`: put last. */
  async function say(
    scope: Scope,
    id: string,
    op: (run: Run) => Put,
    check?: (run: Run) => void | Promise<void>,
    key?: Put,
    came?: Op,
  ): Promise<Run & { readonly keyHas?: string }> {
    const [entry] = await state.get([{ kind: kinds.run, scope, id }])
    if (!entry) throw notFound('execution')
    const run = readRun(entry.value)
    if (hasEnded(run)) throw ended(run)
    await check?.(run)
    const message = op(run)
    const wake: Op = { op: 'wake', kind: kinds.run, id }
    const done = await state.commit(scope, [message, wake, ...(key ? [key] : []), ...(came ? [came] : [])])
    if (!done.ok && done.at === 2 && done.saw) return { ...run, keyHas: done.saw.value }
    if (!done.ok || done.results[1]?.skipped) {
      // It ended meanwhile: nobody will take the message.
      const gone = [message, ...(key ? [key] : [])].map((p): Op => ({ op: 'delete', kind: p.kind, id: p.id }))
      await state.commit(scope, gone)
      const [now] = await state.get([{ kind: kinds.run, scope, id }])
      throw ended(now ? readRun(now.value) : run)
    }
    deps.poke(id)
    deps.woke()
    return run
  }
  const said = (message: Message) => (run: Run) => putSaid(run.id, env.newId(), message)
  const told = (run: Run, more: JsonObject): JsonObject => ({
    chain_id: run.id,
    chain_name: run.chain,
    status: run.status,
    ...more,
  })

  /** Who has sent under this key before, whatever has become of the execution since. */
  async function heldBy(scope: Scope, { kind, id }: Put): Promise<{ hash: string; run: Run } | undefined> {
    const run = { kind: kinds.run, scope, id: id.slice(0, id.indexOf('/')) }
    const [held, entry] = await state.get([{ kind, scope, id }, run])
    return held && entry && { hash: held.value, run: readRun(entry.value) }
  }
  /** When it has acted on all it was told: the answer 202 is given before that, and who then says the opposite knows no better. */
  async function willBePaused(scope: Scope, id: string): Promise<boolean> {
    const told = (await readInbox(state, scope, id)).map((r) => r.message.type)
    const last = told.findLast((type) => type === 'pause' || type === 'unpause')
    if (last) return last === 'pause'
    // Last of all: what has just been taken out of its inbox stands here.
    const [now] = await state.get([{ kind: kinds.run, scope, id }])
    return now !== undefined && readRun(now.value).paused !== undefined
  }
  const same = (hash: string, key: { readonly hash: string } | undefined): true => {
    if (hash === key?.hash) return true
    throw new Problem(422, 'idempotency_mismatch', 'this Idempotency-Key was used with another body')
  }

  return {
    async cancel(scope, id, by) {
      const run = await say(scope, id, (r) => putCancel(r.id, { by }, env.newId()))
      return told(run, { cancel_requested: true })
    },
    async pause(scope, id, by) {
      const run = await say(scope, id, said({ type: 'pause', by }), async (r) => {
        if (r.cause) throw new Problem(409, 'chain_ending', 'the execution is about to end, and cannot be paused')
        if (r.paused && (await willBePaused(scope, id)))
          throw new Problem(409, 'chain_paused', 'the execution is paused already')
      })
      return told(run, { pause_requested: true })
    },
    async resume(scope, id, by) {
      const run = await say(scope, id, said({ type: 'unpause', by }), async (r) => {
        if (!r.paused && !(await willBePaused(scope, id)))
          throw new Problem(409, 'chain_not_paused', 'the execution is not paused')
      })
      return told(run, { resume_requested: true })
    },
    async signal(scope, id, { name, payload, by, key }) {
      const message: Message = { type: 'signal', name, payload, by, at: env.clock.now() }
      const taken = key && keyOf(id, by, key, env)
      const before = taken && (await heldBy(scope, taken))
      if (before)
        return { answer: told(before.run, { signal: name, accepted: true }), repeated: same(before.hash, key) }
      const waiting = await readInbox(state, scope, id)
      const bytes = waiting.reduce((sum, r) => sum + r.bytes, bytesOf(payload))
      if (waiting.length >= MOST_MESSAGES || (waiting.length > 0 && bytes > MOST_MESSAGE_BYTES))
        throw new Problem(
          409,
          'inbox_full',
          `no more than ${MOST_MESSAGES} messages and ${MOST_MESSAGE_BYTES} bytes wait for one execution`,
        )
      const { keyHas, ...run } = await say(scope, id, said(message), undefined, taken, putCame(id, env.newId()))
      const repeated = keyHas !== undefined && same(keyHas, key)
      return { answer: told(run, { signal: name, accepted: true }), repeated }
    },

    async purge(scope, endedBefore, limit) {
      let gone = 0
      for (const status of endedStatuses) {
        let after: string | undefined
        do {
          const page = await state.list(kinds.run, scope, {
            tag: statusTag(status),
            limit: Math.max(limit, 1),
            ...(after !== undefined && { after }),
          })
          after = page.next
          // Ids begin with the moment the execution did: from here on none can have ended before.
          if (page.entries.some((e) => uuidv7Time(e.key.id) >= endedBefore)) after = undefined
          const old = page.entries.filter((e) => {
            const { endedAt } = readRun(e.value)
            return endedAt !== undefined && endedAt < endedBefore
          })
          for (const entry of await unneeded(scope, old)) {
            if (gone >= limit) return gone
            if (await forget(scope, entry)) gone++
          }
        } while (after !== undefined)
      }
      return gone
    },
  }

  /** Sub-chains go after what began them: what waits for one leads to it, and a retry of that goes on in it. */
  async function unneeded(scope: Scope, entries: readonly Entry[]): Promise<readonly Entry[]> {
    const parents = entries.map((e) => readRun(e.value).parent?.id)
    const ids = [...new Set(parents)].filter((id) => id !== undefined)
    if (ids.length === 0) return entries
    const found = await state.get(ids.map((id) => ({ kind: kinds.run, scope, id })))
    const there = new Set(ids.filter((_, i) => found[i]))
    return entries.filter((_, i) => !there.has(parents[i] ?? ''))
  }

  /**
   * The execution and all that belongs to it, in bites. Each asks that nobody has brought it back meanwhile, and the first takes
   * what it began with: from then on nobody can. Itself goes last, as the rest is found by it.
   */
  async function forget(scope: Scope, { key, version: first, value, tags, expiresAt }: Entry): Promise<boolean> {
    const { kind, id } = key
    // An entry may have a tag, which is as much to write.
    const bite = Math.min(BITE, Math.ceil(deps.mostEntries() / PARTS.length / 2))
    for (let version = first; ; ) {
      const pages = await Promise.all(PARTS.map((part) => state.list(part, scope, { limit: bite, after: `${id}/` })))
      const mine = pages.map((p) => p.entries.filter((e) => e.key.id.startsWith(`${id}/`)))
      const isLast = pages.every((p, i) => p.next === undefined || mine[i]!.length < p.entries.length)
      const next = env.newId()
      const untouched = { kind, id, ifVersion: version, ifUnclaimed: true } as const
      const kept = { value, version: next, tags, ...(expiresAt !== undefined && { expiresAt }) }
      const done = await state.commit(scope, [
        isLast ? { op: 'delete', ...untouched } : { op: 'put', ...untouched, ...kept },
        ...mine.flat().map((e): Op => ({ op: 'delete', kind: e.key.kind, id: e.key.id })),
      ])
      if (isLast || !done.ok) return done.ok
      version = next
    }
  }
}
const PARTS = [kinds.step, kinds.history, kinds.signalKey, kinds.signalCame, kinds.inbox] as const
/** Remembered as long as those of dispatches. */
const KEY_TTL_MS = 86_400_000
const keyOf = (
  runId: string,
  by: string,
  key: { readonly text: string; readonly hash: string },
  { clock, newId }: Pick<Env, 'clock' | 'newId'>,
): Put => ({
  op: 'put',
  kind: kinds.signalKey,
  id: `${runId}/${joinParts([by, key.text])}`,
  value: key.hash,
  version: newId(),
  ifVersion: null,
  expiresAt: clock.now() + KEY_TTL_MS,
})
/** Entries of a kind removed in one commit. */
const BITE = 200
