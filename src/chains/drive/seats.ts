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
  readonly scope: string
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
  /** Those that wait, by scope; the scope whose turn it is comes first. */
  readonly #queues = new Map<string, Waiter[]>()
  #waiting = 0

  constructor(total: () => number, serve: () => void) {
    this.#total = total
    this.#serve = serve
  }

  get free(): number {
    return Math.max(0, this.#total() - this.#taken - this.#promised)
  }
  get waiting(): number {
    return this.#waiting
  }
  /** Keeps some for those about to be claimed; `seat` takes them one by one, `settle` gives the rest back. */
  promise(count: number): { seat(id: string): Seat; settle(): void } {
    let left = count
    this.#promised += count
    return {
      seat: (id) => {
        left--
        this.#promised--
        return this.#seat('', { id, since: 0 }, true)
      },
      settle: () => {
        this.#promised -= left
        left = 0
      },
    }
  }
  /** `scope`: they are served by turns. */
  seat(scope: string, turn: InTurn): Seat {
    return this.#seat(scope, turn, false)
  }
  /** The first of those that wait gets one, of the scope whose turn it is. */
  grant(): void {
    for (const [scope, queue] of this.#queues) {
      const [first] = queue
      if (!first) continue
      this.#leave(first)
      if (queue.length > 0) {
        this.#queues.delete(scope)
        this.#queues.set(scope, queue)
      }
      first.grant()
      return
    }
  }

  #seat(scope: string, turn: InTurn, given: boolean): Seat {
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
        if (seats.#waiting >= MOST_WAITING) return 'full'
        waiter = {
          scope,
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
        if (waiter) seats.#leave(waiter)
        waiter = undefined
        if (!taken) return
        taken = false
        seats.#taken--
        seats.#serve()
      },
    }
  }
  #enqueue(waiter: Waiter): void {
    const queue = this.#queues.get(waiter.scope) ?? []
    if (queue.length === 0) this.#queues.set(waiter.scope, queue)
    let at = queue.length
    while (at > 0 && isBefore(waiter.turn, queue[at - 1]!.turn)) at--
    queue.splice(at, 0, waiter)
    this.#waiting++
  }
  #leave(waiter: Waiter): void {
    const queue = this.#queues.get(waiter.scope)!
    queue.splice(queue.indexOf(waiter), 1)
    this.#waiting--
    if (queue.length === 0) this.#queues.delete(waiter.scope)
  }
}
