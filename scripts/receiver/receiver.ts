/** What webhooks are sent to on one's own machine: it keeps what came, does each thing once, and fails when told to. */
import { isDeepStrictEqual } from 'node:util'
import { z } from 'zod'

type Json = z.infer<ReturnType<typeof z.json>>
type Fields = { readonly [key: string]: Json }

/** How to answer calls from now on; of several that fit, the last one told. */
export const tellingSchema = z.strictObject({
  receiver: z.string().min(1),
  action_type: z.string().min(1).optional(),
  /** Fields the payload must have. */
  where: z.record(z.string(), z.json()).optional(),
  status: z.int().min(200).max(599).default(200),
  body: z.json().optional(),
  delay_ms: z.int().min(0).max(60_000).default(0),
  /** For so many calls; left out = until it is forgotten. */
  times: z.int().min(1).optional(),
  /** Whether the thing is done all the same; left out = unless the status is an error. */
  effect: z.boolean().optional(),
})
export type Telling = z.infer<typeof tellingSchema>

/** A request as it came; `token` is its `Idempotency-Key`. */
export interface Incoming {
  readonly receiver: string
  readonly token?: string | undefined
  readonly text: string
}
export interface Call {
  readonly n: number
  readonly at: string
  readonly receiver: string
  readonly action_type: string | null
  readonly token: string | null
  readonly payload: Json
  readonly status: number
  /** The thing was done at this call: once for each token, whatever is repeated. */
  readonly effect: boolean
  /** Other bytes under a known token: what must never come. */
  readonly conflict: boolean
}
export interface Reply {
  readonly status: number
  readonly body: Json
  readonly delayMs: number
}
export interface Receiver {
  take(call: Incoming): { readonly call: Call; readonly reply: Reply }
  tell(telling: Telling): void
  tellings(): readonly Telling[]
  calls(): readonly Call[]
  /** What it was told, or what came; a token is remembered as long as its call. */
  forget(what: 'answers' | 'calls'): void
}

const OTHER_BYTES: Omit<Telling, 'receiver'> = {
  status: 409,
  body: { error: 'other bytes under a known Idempotency-Key' },
  delay_ms: 0,
  effect: false,
}

export function createReceiver(now: () => Date): Receiver {
  let tellings: (Telling & { left: number })[] = []
  let calls: Call[] = []
  /** By token: the first bytes, and what was answered to those that did something. */
  const texts = new Map<string, string>()
  const done = new Map<string, Json>()

  /** A telling that fits, used up by one call. */
  function told(receiver: string, actionType: string | null, payload: Json): Omit<Telling, 'receiver'> | undefined {
    const found = tellings.findLast(
      (t) =>
        t.left > 0 &&
        t.receiver === receiver &&
        (t.action_type === undefined || t.action_type === actionType) &&
        Object.entries(t.where ?? {}).every(([k, v]) => isDeepStrictEqual(fieldsOf(payload)[k], v)),
    )
    if (found) found.left--
    return found
  }

  return {
    take({ receiver, token, text }) {
      const action = fieldsOf(parse(text))
      const actionType = typeof action['action_type'] === 'string' ? action['action_type'] : null
      const payload = actionType === null ? action : (action['payload'] ?? null)
      const n = calls.length + 1
      const key = token === undefined ? `call ${n}` : `${receiver} ${token}`
      const conflict = (texts.get(key) ?? text) !== text
      if (!conflict) texts.set(key, text)

      const telling = conflict ? OTHER_BYTES : told(receiver, actionType, payload)
      const { status = 200, body } = telling ?? {}
      const bad = status >= 400
      const effect = !done.has(key) && (telling?.effect ?? !bad)
      // Done before it is answered: who is cut off in between finds it done when he asks again.
      if (effect) done.set(key, bad ? { id: `${receiver}-${n}` } : (body ?? { id: `${receiver}-${n}` }))
      const answer = bad ? (body ?? { error: `told to answer ${status}` }) : (done.get(key) ?? body ?? null)
      const call: Call = {
        n,
        at: now().toISOString(),
        receiver,
        action_type: actionType,
        token: token ?? null,
        payload,
        status,
        effect,
        conflict,
      }
      calls.push(call)
      return { call, reply: { status, body: answer, delayMs: telling?.delay_ms ?? 0 } }
    },
    tell: (t) => void tellings.push({ ...t, left: t.times ?? Number.POSITIVE_INFINITY }),
    tellings: () => tellings.map(({ left, ...t }) => (t.times === undefined ? t : { ...t, times: left })),
    calls: () => calls,
    forget(what) {
      if (what === 'answers') tellings = []
      else {
        calls = []
        texts.clear()
        done.clear()
      }
    },
  }
}

const fieldsOf = (value: Json): Fields =>
  typeof value === 'object' && value !== null && !Array.isArray(value) ? value : {}

/** Text that is no JSON is kept as text. */
function parse(text: string): Json {
  try {
    return JSON.parse(text) as Json
  } catch {
    return { text }
  }
}
