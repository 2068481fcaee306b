import { StateTooLarge, StateUnavailable, StateUnknown } from '../core/errors.ts'

/** [0, value] done · [1, why] nothing was done · [2, why] it may be done · [3, why] nothing was done, and never will be: too large. */
export type Answer = readonly [0, unknown] | readonly [1 | 2 | 3, string]

/** Calls to a store that takes them in batches. Rejects with StateUnavailable or StateUnknown, nothing else. */
export interface Channel<C> {
  call(call: C): Promise<unknown>
  /** Waits for what is under way; later calls are refused. */
  close(): Promise<void>
}
export interface Carrier<C> {
  /**
   * Carries a batch there and its answers back; called again before that only where `Arming` says so, and then what was given first
   * is done first. Rejects when the other side has died.
   */
  run(batch: readonly C[]): Promise<readonly Answer[]>
  close(): Promise<void>
}
interface Waiting<C> {
  readonly call: C
  readonly chars: number
  readonly resolve: (value: unknown) => void
  readonly reject: (e: Error) => void
}

/** A transaction longer than this keeps its first callers waiting for the last. */
const LARGEST = 1024
/**
 * And one of more characters is no longer answered in time, or too long for any text and cannot travel at all. What has more by itself
 * goes by itself.
 */
const LARGEST_CHARS = 16_000_000

/** A part of what waits that would be smaller is not worth a way of its own. */
const SMALLEST = 16

/** When a batch that could begin does begin. */
export interface Arming {
  /** Calls back at the end of the running turn. */
  readonly turn: (then: () => void) => void
  /** It begins after so many turns one after another that brought no call, */
  readonly quiet: number
  /** and after so many turns at the latest. */
  readonly most: number
  /**
   * Batches under way at once; left out: one. What waits is spread over them: while one is worked on there, the answers of another are
   * here. Alike in size, they would else take turns, and each side wait for the other.
   */
  readonly atOnce?: number
}
/** At the end of the turn, so that calls made together travel together. */
export const nextTurn = (turn: Arming['turn']): Arming => ({ turn, quiet: 0, most: 1 })

/**
 * Group commit: calls that come while a batch is under way form the next one, so the batch grows with the load and a lone call
 * does not wait. `arming` says when it begins. `lost` says what callers of a batch that was never answered are told, `charsOf` how
 * much a call carries; left out: little.
 */
export function batching<C>(
  carrier: Carrier<C>,
  arming: Arming,
  lost: typeof StateUnavailable | typeof StateUnknown,
  charsOf: (call: C) => number = () => 0,
): Channel<C> {
  const atOnce = arming.atOnce ?? 1
  let underWay = 0
  /** Resolves when everything begun so far has its answer. */
  let carried: Promise<void> = Promise.resolve()
  let waiting: Waiting<C>[] = []
  let armed = false
  let dead: Error | undefined

  const begin = (): void => {
    armed = false
    while (underWay < atOnce && waiting.length > 0) {
      const share = Math.max(SMALLEST, Math.ceil(waiting.length / (atOnce - underWay)))
      const size = fitting(waiting, Math.min(share, LARGEST))
      const batch = waiting.length > size ? waiting.splice(0, size) : waiting
      if (batch === waiting) waiting = []
      underWay++
      const earlier = carried
      const mine = carry(batch)
      // Not with Promise.all, whose answers would hold all those before them.
      carried = earlier.then(() => mine)
    }
  }
  const rearm = (): void => {
    if (armed || underWay >= atOnce) return
    armed = true
    gather(0, 0, 0)
  }
  const gather = (turns: number, quiet: number, seen: number): void =>
    arming.turn(() => {
      const still = waiting.length === seen ? quiet + 1 : 0
      if (still >= arming.quiet || turns + 1 >= arming.most || waiting.length >= LARGEST) begin()
      else gather(turns + 1, still, waiting.length)
    })
  async function carry(batch: readonly Waiting<C>[]): Promise<void> {
    try {
      const answers = await carrier.run(batch.map((w) => w.call))
      batch.forEach((w, i) => {
        settle(w, answers[i] ?? [2, 'no answer'])
      })
    } catch (e) {
      dead ??= new StateUnavailable('the store has stopped', { cause: e })
      for (const w of batch) w.reject(new lost('the store did not answer', { cause: e }))
      for (const w of waiting) w.reject(dead)
      waiting = []
    }
    underWay--
    if (waiting.length > 0) rearm()
  }

  return {
    call: (call) =>
      new Promise((resolve, reject) => {
        if (dead !== undefined) return reject(dead)
        waiting.push({ call, chars: charsOf(call), resolve, reject })
        rearm()
      }),
    async close() {
      while (underWay > 0 || waiting.length > 0) {
        if (underWay === 0) begin()
        await carried
      }
      dead ??= new StateUnavailable('the store is closed')
      await carrier.close()
    },
  }
}

/** How many of the first go together: at least one. */
function fitting(waiting: readonly Waiting<unknown>[], most: number): number {
  let chars = 0
  for (let n = 0; n < waiting.length && n < most; n++) {
    chars += waiting[n]!.chars
    if (chars > LARGEST_CHARS && n > 0) return n
  }
  return most
}

function settle<C>(w: Waiting<C>, [kind, value]: Answer): void {
  if (kind === 0) w.resolve(value)
  else if (kind === 1) w.reject(new StateUnavailable(value as string))
  else if (kind === 2) w.reject(new StateUnknown(value as string))
  else w.reject(new StateTooLarge(value as string))
}
