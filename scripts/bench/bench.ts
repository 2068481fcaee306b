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

/**
 * Before measuring, milliseconds: what is put in front of production has run for longer. V8 goes on compiling what is met less often for
 * half a minute, in which a webhook falls from 460 to 260 µs of processor time, a step of a chain from 350 to 220.
 */
export const warmMs = ({ quick }: Pick<Bench, 'quick'>): number => (quick ? 6000 : 25_000)

/** The one in the middle by what `of` says of each: the machine's speed changes from one second to the next. */
export function middleBy<T>(turns: readonly T[], of: (turn: T) => number): T {
  const sorted = turns.toSorted((a, b) => of(a) - of(b))
  return sorted[Math.floor(sorted.length / 2)]!
}
