import { onTestFinished } from 'vitest'
import type { Action } from '../../src/core/action.ts'
import { ProviderError } from '../../src/core/errors.ts'
import { canonicalJson, type Json } from '../../src/core/json.ts'
import type { Provider, Receipt } from '../../src/core/provider.ts'

export interface Sent {
  readonly request: Json
  readonly token: string
  readonly signal: AbortSignal
}
/** What one attempt comes to: a body, an error thrown as it is (a ProviderError or anything else), or an answer still to come. */
export type Scripted = Receipt | Error | ((sent: Sent) => Promise<Receipt> | Receipt)

export interface ScriptedProvider extends Provider {
  /** Every attempt, in order. */
  readonly sent: readonly Sent[]
  readonly inFlight: number
  readonly mostInFlight: number
  readonly checks: number
  /** How often it was closed: each load of a configuration opens it anew. */
  readonly closed: number
  /** Puts more attempts at the end of the script. */
  add(...more: readonly Scripted[]): void
}

export const OK: Receipt = { status: 200, body: { ok: true } }
export const refused = (): ProviderError => new ProviderError('connection_refused', 'refused', { retryable: true })
export const unavailable = (retryAfterMs?: number): ProviderError =>
  new ProviderError('http_503', 'unavailable', { retryable: true, retryAfterMs, response: { status: 503, body: 'no' } })
export const serverError = (): ProviderError =>
  new ProviderError('http_500', 'failed', { retryable: true, unknown: true, response: { status: 500, body: 'oh' } })
export const badRequest = (): ProviderError =>
  new ProviderError('http_400', 'bad', { response: { status: 400, body: { why: 'bad' } } })

/** Answers only when told to, or never; heeds its signal like a good client would. */
export function held(): { answer: Scripted; finish(end: Receipt | Error): void } {
  const { promise, resolve, reject } = Promise.withResolvers<Receipt>()
  return {
    answer: ({ signal }) =>
      Promise.race([
        promise,
        new Promise<never>((_, no) => signal.addEventListener('abort', () => no(new Error('aborted')), { once: true })),
      ]),
    finish: (end) => (end instanceof Error ? reject(end) : resolve(end)),
  }
}

/** Never answers and does not heed its signal. */
export const deaf: Scripted = () => new Promise<never>(() => {})

/** A provider that does what its script says, one entry an attempt; after the last, the last again. */
export function scriptedProvider(
  name: string,
  script: readonly Scripted[] = [OK],
  opts: {
    readonly type?: string
    readonly hasEffect?: boolean
    readonly dedupWindowMs?: number
    readonly render?: (action: Action, token: string, lineage: string | undefined) => Json
    readonly check?: (signal: AbortSignal) => Promise<void>
  } = {},
): ScriptedProvider {
  const rest = [...script]
  let last: Scripted = OK
  const sent: Sent[] = []
  let inFlight = 0
  let mostInFlight = 0
  let checks = 0
  let closed = 0
  return {
    name,
    type: opts.type ?? 'scripted',
    hasEffect: opts.hasEffect ?? true,
    render: (action, { token, lineage }) =>
      opts.render ? opts.render(action, token, lineage) : { to: name, action_id: action.id, payload: action.payload },
    dedupWindowMs: () => opts.dedupWindowMs ?? 0,
    async send(request, { token, signal }) {
      last = rest.shift() ?? last
      const one = { request, token, signal }
      sent.push(one)
      inFlight++
      mostInFlight = Math.max(mostInFlight, inFlight)
      try {
        if (last instanceof Error) throw last
        return await (typeof last === 'function' ? last(one) : last)
      } finally {
        inFlight--
      }
    },
    async check(signal) {
      checks++
      await opts.check?.(signal)
    },
    async close() {
      closed++
    },
    sent,
    get inFlight() {
      return inFlight
    },
    get mostInFlight() {
      return mostInFlight
    },
    get checks() {
      return checks
    },
    get closed() {
      return closed
    },
    add: (...more) => void rest.push(...more),
  }
}

export interface Receiver {
  /** Takes an attempt as a deduplicating endpoint would: true when it is the first under its token. Throws when the body differs. */
  take(sent: Pick<Sent, 'token' | 'request'>): boolean
  /** A script entry that takes the attempt, then answers `answer`. */
  readonly accept: (answer?: Receipt | Error) => Scripted
  /** What took effect: the first body under each token. */
  readonly effects: ReadonlyMap<string, Json>
  readonly taken: number
  /** Tokens that came with a second body, in words. Looked at when the test ends. */
  readonly conflicts: readonly string[]
}

/**
 * An endpoint that honours tokens: it keeps the first body under each, and fails the test when a later one differs. Made inside
 * a test: the gateway would make a failed delivery of what is thrown here, so the test's end looks again.
 */
export function receiver(): Receiver {
  const conflicts: string[] = []
  onTestFinished(() => {
    if (conflicts.length > 0) throw new Error(conflicts.join('\n'))
  })
  const effects = new Map<string, Json>()
  let taken = 0
  const take = ({ token, request }: Pick<Sent, 'token' | 'request'>): boolean => {
    taken++
    if (!effects.has(token)) {
      effects.set(token, request)
      return true
    }
    const first = canonicalJson(effects.get(token))
    if (first === canonicalJson(request)) return false
    const conflict = `token ${token} had the body ${first}, and now has ${canonicalJson(request)}`
    conflicts.push(conflict)
    throw new Error(conflict)
  }
  return {
    take,
    accept:
      (answer = OK) =>
      (sent) => {
        take(sent)
        if (answer instanceof Error) throw answer
        return answer
      },
    effects,
    conflicts,
    get taken() {
      return taken
    },
  }
}
