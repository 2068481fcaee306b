import type { Scope } from '../../core/action.ts'
import { kinds } from '../../core/hold.ts'
import type { Json } from '../../core/json.ts'
import type { Entry, Op, StateStore } from '../../core/state.ts'
import type { StepResult } from './run.ts'
import type { Signal } from './step-kind.ts'

/** What others have to say to an execution. Its owner takes a message in the commit that acts on it. */
export type Message =
  /** `waited`: the parent is to hear of its end. `late`: the time it had there is over. */
  | {
      readonly type: 'cancel'
      readonly by: string
      readonly fromParent?: true
      readonly waited?: true
      readonly late?: true
    }
  /** `child`: whose end it is, so that the end of one that was given up is nobody's. */
  | { readonly type: 'child'; readonly step: string; readonly child: string; readonly result: StepResult }
  | { readonly type: 'signal'; readonly name: string; readonly payload: Json; readonly by: string; readonly at: number }
  | { readonly type: 'pause' | 'unpause'; readonly by: string }

type Put = Extract<Op, { op: 'put' }>

export interface Received {
  readonly id: string
  readonly version: string
  readonly message: Message
  /** As it is stored. */
  readonly bytes: number
}

/** There is one cancel of an execution, under a name of its own: every commit asks that none has come unseen. */
export const cancelId = (runId: string): string => `${runId}/cancel`
export const childEndId = (runId: string, child: string): string => `${runId}/child/${child}`
/** Changed with every signal: the commit that gives up waiting for one asks that none has come unseen. */
const cameId = (runId: string): string => `${runId}/came`
export const putCame = (runId: string, version: string): Op => ({
  op: 'put',
  kind: kinds.signalCame,
  id: cameId(runId),
  value: '',
  version,
})
/** To be read before the inbox is: what comes in between is seen by the commit. */
export async function readCame(state: StateStore, scope: Scope, runId: string): Promise<string | null> {
  const [entry] = await state.get([{ kind: kinds.signalCame, scope, id: cameId(runId) }])
  return entry?.version ?? null
}
export const noneCame = (runId: string, seen: string | null): Op => ({
  op: 'delete',
  kind: kinds.signalCame,
  id: cameId(runId),
  ifVersion: seen,
})
/** Messages are taken in the order of their ids: those of people in the order they came. */
const saidId = (runId: string, id: string): string => `${runId}/said/${id}`

export function putCancel(
  runId: string,
  message: Omit<Extract<Message, { type: 'cancel' }>, 'type'>,
  version: string,
): Put {
  const value = JSON.stringify({ type: 'cancel', ...message } satisfies Message)
  // One that is there already stays: it may be the parent's.
  return { op: 'put', kind: kinds.inbox, id: cancelId(runId), value, version, ifVersion: null, orSkip: true }
}
export function putChildEnd(
  parent: { readonly id: string; readonly step: string },
  child: string,
  result: StepResult,
  version: string,
): Op {
  const value = JSON.stringify({ type: 'child', step: parent.step, child, result } satisfies Message)
  return { op: 'put', kind: kinds.inbox, id: childEndId(parent.id, child), value, version }
}
/** An execution that is told to end. */
export interface Orphan {
  readonly id: string
  /** Its end is waited for. */
  readonly waited: boolean
  /** The time it had is over. */
  readonly late: boolean
}
/** Tells executions that this one began that they need not go on. */
export const putOrphans = (runId: string, orphans: readonly Orphan[], version: string): readonly Op[] =>
  orphans.flatMap(({ id, waited, late }) => [
    putCancel(id, { by: 'gateway', fromParent: true, ...(waited && { waited }), ...(late && { late }) }, version),
    { op: 'wake', kind: kinds.run, id } as const,
    // It may have ended since the inbox was read; from here on it tells nobody.
    ...(waited ? [] : [{ op: 'delete', kind: kinds.inbox, id: childEndId(runId, id) } as const]),
  ])
export function putSaid(runId: string, id: string, message: Message): Put {
  return { op: 'put', kind: kinds.inbox, id: saidId(runId, id), value: JSON.stringify(message), version: id }
}
export const take = (r: Received): Op => ({ op: 'delete', kind: kinds.inbox, id: r.id })

/** Messages an execution may have waiting, and their bytes; a signal beyond is refused. */
export const MOST_MESSAGES = 1000
export const MOST_MESSAGE_BYTES = 10 * 1024 * 1024

const received = (e: Entry): Received => ({
  id: e.key.id,
  version: e.version,
  message: JSON.parse(e.value) as Message,
  bytes: Buffer.byteLength(e.value),
})

/** Everything that waits for an execution, oldest first. */
export async function readInbox(state: StateStore, scope: Scope, runId: string): Promise<readonly Received[]> {
  const out: Received[] = []
  const prefix = `${runId}/`
  for (let after: string | undefined = prefix; after !== undefined; ) {
    const page = await state.list(kinds.inbox, scope, { limit: 200, after })
    after = page.next
    for (const entry of page.entries) {
      if (!entry.key.id.startsWith(prefix)) return out
      out.push(received(entry))
    }
  }
  return out
}

export const signalOf = (r: Received): Signal | undefined =>
  r.message.type === 'signal'
    ? { id: r.id, name: r.message.name, payload: r.message.payload, by: r.message.by, at: r.message.at }
    : undefined
