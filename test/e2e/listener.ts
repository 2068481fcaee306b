import { expect } from 'vitest'
import { type Event, eventReader } from '../http/stream/sse.ts'
import type { Gateway } from './gateway.ts'

/** A client of a gateway's stream. */
export interface Listener {
  readonly events: Event[]
  /** Where to go on, as a browser would. */
  readonly lastId: () => string
  /** Resolves when the connection has ended, however. */
  readonly over: Promise<void>
  /** Goes away. */
  close(): void
}

/** A client that reads as it comes, from where another has stopped. */
export async function listen(gateway: Gateway, query: string, lastId = ''): Promise<Listener> {
  const headers: Record<string, string> = lastId === '' ? {} : { 'last-event-id': lastId }
  const leave = new AbortController()
  const response = await fetch(`${gateway.base}/v1/stream${query}`, { headers, signal: leave.signal })
  expect(response.status).toBe(200)
  const sse = eventReader()
  const events: Event[] = []
  const read = async (): Promise<void> => {
    for await (const chunk of response.body!) events.push(...sse.take(chunk))
  }
  // A gateway that is killed ends no chunk: what has come whole is what counts.
  const over = read().catch((e: unknown) => {
    if (!leave.signal.aborted) expect(e).toBeInstanceOf(TypeError)
  })
  return { events, lastId: () => sse.lastId || lastId, over, close: () => leave.abort() }
}
