import { availableParallelism } from 'node:os'

/** What each part of the bench is told. */
export interface Bench {
  /** Each measurement takes so long. */
  readonly seconds: number
  readonly quick: boolean
  /** A folder that is removed at the end, and the file in it that servers write to. */
  readonly work: string
  readonly log: number
}
/** Measures, and prints its tables. */
export type Part = (bench: Bench) => Promise<void>

/** Every server has the one, whatever makes its load the other. */
export const SERVER_CORE = 0
export const LOAD_CORE = availableParallelism() > 1 ? 1 : 0

/** Before measuring: a server that has run for a few seconds is what is put in front of production, its code is compiled by then. */
export const WARM_MS = 6000
