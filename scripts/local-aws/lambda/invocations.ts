/** The last invocations, for checks to read at `GET /_local/lambda/invocations`. */
import type { FunctionFault } from './worker.ts'

export interface Invocation {
  function: string
  payload: unknown
  /** What the function saw: null where the caller sent none, and for asynchronous calls. */
  client_context: unknown
  result?: unknown
  error?: FunctionFault
  /** When it began, RFC 3339. */
  at: string
}

export interface Invocations {
  add(invocation: Invocation): void
  list(functionName?: string | null): Invocation[]
  clear(): void
}

const MAX = 1000

export const openInvocations = (): Invocations => {
  let kept: Invocation[] = []
  return {
    add: (invocation) => {
      kept = [...kept.slice(1 - MAX), invocation]
    },
    list: (functionName) => kept.filter((each) => !functionName || each.function === functionName),
    clear: () => {
      kept = []
    },
  }
}
