import type { DatabaseSync, StatementSync } from 'node:sqlite'

const BLOCK = 1_000_000

/** Claim numbers, never given twice: reserved in blocks, so that a claim costs no write; a restart skips the rest of its block. */
export class Numbers {
  readonly #reserve: StatementSync
  #last = 0
  #end = 0
  constructor(db: DatabaseSync) {
    this.#reserve = db.prepare(
      `INSERT INTO meta (name, n) VALUES ('numbers', ?1) ON CONFLICT DO UPDATE SET n = n + ?1 RETURNING n`,
    )
  }
  next(): number {
    if (this.#last >= this.#end) {
      this.#end = Number(this.#reserve.get(BLOCK)?.['n'])
      this.#last = Math.max(this.#last, this.#end - BLOCK)
    }
    return ++this.#last
  }
  /** The reservation may be void with its transaction: the next one is made anew. */
  forget(): void {
    this.#end = this.#last
  }
}
