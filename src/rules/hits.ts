export interface Hit {
  count: number
  /** Milliseconds. */
  last: number
}

/** How often each rule has matched on this node, by name: over loads, and not over a restart. */
export class Hits {
  readonly #byName = new Map<string, Hit>()

  of(name: string): Readonly<Hit> | undefined {
    return this.#byName.get(name)
  }
  count(names: readonly string[], now: number): void {
    for (const name of names) {
      const h = this.#byName.get(name)
      if (!h) this.#byName.set(name, { count: 1, last: now })
      else {
        h.count++
        h.last = now
      }
    }
  }
}
