/**
 * A Map for what comes and goes by the thousand, under a key that is a value itself.
 *
 * V8's Map makes a new table whenever it has filled one up, and whenever it is cleared; the old one points to the new, for those who
 * still go through it, and keeps all it had. Once one of them was made old by a collection, whatever passed through since is kept, and
 * made old as well, until the next full collection: each of the short ones then copies megabytes that nobody wants (30 ms of a
 * thread twice a second, where it would be 2). So a value stands in a box of its own, which is emptied when it leaves.
 */
export class Passing<K extends string | number, V> {
  readonly #boxes = new Map<K, { value: V | undefined }>()

  get size(): number {
    return this.#boxes.size
  }
  has(key: K): boolean {
    return this.#boxes.has(key)
  }
  get(key: K): V | undefined {
    return this.#boxes.get(key)?.value
  }
  /** In the place of what it had under this key, else last. */
  set(key: K, value: V): void {
    const box = this.#boxes.get(key)
    if (box === undefined) this.#boxes.set(key, { value })
    else box.value = value
  }
  /** What left. */
  delete(key: K): V | undefined {
    const box = this.#boxes.get(key)
    if (box === undefined) return undefined
    const { value } = box
    box.value = undefined
    this.#boxes.delete(key)
    return value
  }
  clear(): void {
    for (const key of this.#boxes.keys()) this.delete(key)
  }
  /** In the order they came, as `values`. What leaves meanwhile is passed over. */
  keys(): MapIterator<K> {
    return this.#boxes.keys()
  }
  *values(): Generator<V> {
    for (const { value } of this.#boxes.values()) yield value as V
  }
}

/** The same without keys: who comes is told how to leave, which may be said twice. */
export class Gathering<V> {
  readonly #members = new Passing<number, V>()
  #came = 0

  get size(): number {
    return this.#members.size
  }
  enter(member: V): () => void {
    const number = ++this.#came
    this.#members.set(number, member)
    return () => {
      this.#members.delete(number)
    }
  }
  /** In the order they came. */
  [Symbol.iterator](): Generator<V> {
    return this.#members.values()
  }
}
