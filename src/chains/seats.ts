/** One execution's leave to be at its providers. */
export interface Seat {
  readonly taken: boolean
  /** `wait`: `told` is called when it has one. `full`: there is no room to wait either. */
  ask(told: () => void): 'taken' | 'wait' | 'full'
  /** It is no longer driven here. */
  leave(): void
}
/** In what order those that wait are served: by moment, then by id. */
export interface InTurn {
  readonly id: string
  readonly since: number
}
export const isBefore = (a: InTurn, b: InTurn): boolean => a.since < b.since || (a.since === b.since && a.id < b.id)

/** Executions that wait for a seat in memory, their claims kept; more go back to the store. */
const MOST_WAITING = 1024

interface Waiter {
  readonly turn: InTurn
  readonly grant: () => void
}

/**
 * How many executions of this node are at providers at once. What takes no time needs no seat: an execution is driven at once, and
 * asks for one when it first has something to send that may take long. Those that were claimed from the store come with one, so
 * that no more are claimed than can go on.
 */
export class Seats {
  readonly #total: () => number
  /** Somebody may be served now. */
  readonly #serve: () => void
  #taken = 0
  #promised = 0
  readonly #queue: Waiter[] = []

  constructor(total: () => number, serve: () => void) {
    this.#total = total
    this.#serve = serve
  }

  get free(): number {
    return Math.max(0, this.#total() - this.#taken - this.#promised)
  }
  get waiting(): number {
    return this.#queue.length
  }
  /** Keeps some for those about to be claimed; `seat` takes them one by one, `settle` gives the rest back. */
  promise(count: number): { seat(id: string): Seat; settle(): void } {
    let left = count
    this.#promised += count
    return {
      seat: (id) => {
        left--
        this.#promised--
        return this.#seat({ id, since: 0 }, true)
      },
      settle: () => {
        this.#promised -= left
        left = 0
      },
    }
  }
  seat(turn: InTurn): Seat {
    return this.#seat(turn, false)
  }
  /** The first of those that wait gets one. */
  grant(): void {
    this.#queue.shift()?.grant()
  }

  #seat(turn: InTurn, given: boolean): Seat {
    const seats = this
    let taken = given
    let waiter: Waiter | undefined
    if (given) this.#taken++
    return {
      get taken() {
        return taken
      },
      ask(told) {
        if (taken) return 'taken'
        if (waiter) return 'wait'
        if (seats.#queue.length >= MOST_WAITING) return 'full'
        waiter = {
          turn,
          grant: () => {
            waiter = undefined
            taken = true
            seats.#taken++
            told()
          },
        }
        seats.#enqueue(waiter)
        seats.#serve()
        return taken ? 'taken' : 'wait'
      },
      leave() {
        if (waiter) seats.#queue.splice(seats.#queue.indexOf(waiter), 1)
        waiter = undefined
        if (!taken) return
        taken = false
        seats.#taken--
        seats.#serve()
      },
    }
  }
  #enqueue(waiter: Waiter): void {
    let at = this.#queue.length
    while (at > 0 && isBefore(waiter.turn, this.#queue[at - 1]!.turn)) at--
    this.#queue.splice(at, 0, waiter)
  }
}
