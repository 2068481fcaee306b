import type { Result, Router } from 'hono/router'
import { TrieRouter } from 'hono/router/trie-router'

/**
 * Addresses without parts that vary are found by one look into a map; the rest by the tree. Hono's own choice would walk the tree for
 * all of them, because `/v1/chains/definitions` beside `/v1/chains/{id}` is nothing its single regular expression can tell apart.
 */
export class FixedFirst<T> implements Router<T> {
  readonly name = 'FixedFirst'
  readonly #fixed = new Map<string, Map<string, Result<T>>>()
  readonly #rest = new TrieRouter<T>()

  add(method: string, path: string, handler: T): void {
    if (/[:*]/.test(path)) {
      this.#rest.add(method, path, handler)
      return
    }
    const paths = this.#fixed.get(method) ?? new Map<string, Result<T>>()
    this.#fixed.set(method, paths)
    paths.set(path, [[[handler, {}]]])
  }

  match(method: string, path: string): Result<T> {
    return this.#fixed.get(method)?.get(path) ?? this.#rest.match(method, path)
  }
}
