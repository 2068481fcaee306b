import { largestEntry, mostEntries } from '../state/index.ts'
import type { Config } from './config/config.ts'

/** How much of one thing the store keeps, bytes; Infinity: more than is ever asked of it. Limits above it are lowered to it. */
export interface Room {
  /** The body of a request that makes one thing. */
  readonly body: number
  /** An action that is held, or events gathered into one: stored once more as the request that sends it. */
  readonly held: number
  /** What goes into a step of a chain, stored as it is, as an action and as its request; and what a step or a provider gives. */
  readonly data: number
  /** What an execution writes in one commit: the other half is for what comes with it, and for the last that was begun. */
  readonly entries: number
}

export function roomOf({ state, audit }: Pick<Config, 'state' | 'audit'>): Room {
  const backends = [state.backend, ...(audit.enabled ? [audit.backend] : [])]
  const entry = Math.min(...backends.map((b) => largestEntry[b] ?? Number.POSITIVE_INFINITY))
  const entries = Math.floor((mostEntries[state.backend] ?? Number.POSITIVE_INFINITY) / 2)
  return { body: entry, held: Math.floor(entry / 3), data: Math.floor(entry / 4), entries }
}
