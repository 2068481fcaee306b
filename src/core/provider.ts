import type { z } from 'zod'
import type { Action } from './action.ts'
import type { Env } from './env.ts'
import type { Json } from './json.ts'

export interface Receipt {
  /** HTTP status, or 200 where the protocol has none. */
  readonly status: number
  readonly body: Json
}

/** The longest a `Retry-After` is heeded: one wrong header must not silence a provider for a day, nor park what waits for it. */
export const RETRY_AFTER_MAX_MS = 300_000

/** What a request carries beside its action. */
export interface RenderContext {
  readonly token: string
  /** Signed, for the receiver to hand on with what it dispatches; absent where nobody outside sees the request. */
  readonly lineage?: string
}

/** A configured way out. It neither retries nor remembers: that is delivery's. */
export interface Provider {
  readonly name: string
  readonly type: string
  /** False only for `log`: nothing leaves the machine, so no intent is stored first. */
  readonly hasEffect: boolean
  /**
   * The request as plain data, stored before it is sent and sent as stored each time. Pure. Throws ProviderError
   * `invalid_payload` with a pointer when the payload has a known key of the wrong type.
   */
  render(action: Action, context: RenderContext): Json
  /** How long the accepting endpoint deduplicates this request by its token; 0 = it does not. Milliseconds. */
  dedupWindowMs(request: Json): number
  /** One attempt. Throws ProviderError and nothing else; aborts when the signal does. */
  send(request: Json, context: { readonly token: string; readonly signal: AbortSignal }): Promise<Receipt>
  /** The same where there is nothing to wait for: what is answered to a caller then goes out in the turn that stored it. */
  sendNow?(request: Json): Receipt
  /** Can it be reached with these credentials? Sends no action. Throws ProviderError. */
  check(signal: AbortSignal): Promise<void>
  close(): Promise<void>
}

/** One provider type: one file, one line in providers/index.ts. */
export interface ProviderType<S extends z.ZodType = z.ZodType> {
  readonly type: string
  /** The action types it treats as its own verbs, where payload keys are read one by one. */
  readonly verbs: readonly string[]
  /** Strict: the keys beside the common ones (name, type, timeout_seconds, max_retries, max_concurrent, rate_limit). */
  readonly config: S
  open(name: string, config: z.output<S>, env: Env): Provider
}
export const defineProvider = <S extends z.ZodType>(t: ProviderType<S>): ProviderType<S> => t
