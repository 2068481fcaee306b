import type { DatabaseSync, StatementSync } from 'node:sqlite'
import type { AuditOld } from '../../core/audit.ts'
import type { Claimed, Committed, Op, Refused } from '../../core/state.ts'
import type { Answer } from '../batching.ts'
import { charsOf } from '../chars.ts'
import { decide } from '../decide/ops/index.ts'
import { bufferShape, counterShape, semaphoreShape, windowShape } from '../decide/shapes.ts'
import { Undo } from '../decide/undo.ts'
import { AuditWriter, type KeptRow } from './audit-writer.ts'
import { Cells } from './cells.ts'
import { Checkpoints } from './checkpoints.ts'
import { type ClaimCall, Claims } from './claims.ts'
import { Entries } from './entries.ts'
import { Fatal, isFatal, isSqlite, say, tolerant } from './failure.ts'
import { Items } from './items.ts'
import { Numbers } from './numbers.ts'
import { Tidying } from './tidy.ts'
import { beginTrail } from './trail.ts'
import type { FileTx } from './tx.ts'

/** What the writer is asked to do. */
export type Write =
  | readonly ['commit', scope: string, ops: readonly Op[], dry: boolean]
  | readonly ['claim', ClaimCall]
  | readonly ['nextDue', kind: string]
  | readonly ['append', rows: readonly KeptRow[]]
  | readonly ['purge', scope: string, old: AuditOld, looks: number]
  | readonly ['sweep', limit: number]

export function charsOfWrite(call: Write): number {
  if (call[0] === 'commit') return charsOf(call[2])
  return call[0] === 'append' ? call[1].reduce((chars, row) => chars + row.json.length, 0) : 0
}

/**
 * Applies batches of calls to the one writing connection, synchronously.
 *
 * 1 A batch is one transaction; its answers are given out only after COMMIT has returned.
 * 2 A commit works in memory only (entries, cells, items, audit rows), with a journal to undo it when an op refuses; what is left
 *   at the end of the batch is written once. So no commit needs a savepoint, and a refused one costs no write.
 * 3 Whatever is thrown between BEGIN and COMMIT voids the whole batch and all that is remembered of it.
 * 4 Nothing awaits in here.
 */
export class Engine {
  readonly #db: DatabaseSync
  readonly #undo = new Undo()
  readonly #claims: Claims
  readonly #tx: FileTx
  readonly #begin: StatementSync
  readonly #commit: StatementSync
  readonly #rollback: StatementSync
  readonly #numbers: Numbers
  readonly #checkpoints: Checkpoints
  readonly #tidying: Tidying
  #nextSweep: number

  constructor(db: DatabaseSync, now: number, checkpoints = new Checkpoints(db)) {
    this.#db = db
    this.#checkpoints = checkpoints
    this.#tidying = new Tidying(db)
    // Not with the first commit: a start has enough to do.
    this.#nextSweep = now + SWEEP_EVERY_MS
    this.#begin = db.prepare('BEGIN IMMEDIATE')
    this.#commit = db.prepare('COMMIT')
    this.#rollback = db.prepare('ROLLBACK')
    this.#numbers = new Numbers(db)
    voidClaims(db, now)
    beginTrail(db, now)
    const undo = this.#undo
    this.#claims = new Claims(db)
    const entries = new Entries(db, undo)
    entries.onDue = (kind, scope, dueAt) => this.#claims.lower(kind, scope, dueAt)
    this.#tx = {
      entries,
      counters: new Cells(db, counterShape, undo),
      windows: new Cells(db, windowShape, undo),
      semaphores: new Cells(db, semaphoreShape, undo),
      buffers: new Cells(db, bufferShape, undo),
      items: new Items(db, undo),
      audit: new AuditWriter(db, undo),
      undo,
      nextNumber: () => this.#numbers.next(),
    }
  }

  /** One transaction. Throws Fatal after a failure of the medium; every other failure is in the answers. */
  run(now: number, batch: readonly Write[]): readonly Answer[] {
    try {
      this.#begin.run()
    } catch (e) {
      if (isFatal(e)) throw new Fatal(say(e))
      return batch.map(() => [1, say(e)])
    }
    let answers: readonly Answer[]
    try {
      answers = batch.map((call): Answer => this.#call(call, now))
      this.#flush()
    } catch (e) {
      return this.#void(e, now, batch)
    }
    try {
      this.#commit.run()
    } catch (e) {
      this.#forget()
      if (isFatal(e)) throw new Fatal(say(e))
      if (this.#db.isTransaction) this.#rollback.run()
      return batch.map(() => [2, say(e)])
    }
    this.#settle()
    return answers
  }

  #call(call: Write, now: number): Answer {
    switch (call[0]) {
      case 'commit':
        return this.#decide(call[1], call[2], call[3], now)
      case 'claim':
        return [0, this.#claim(call[1], now)]
      case 'nextDue':
        this.#flush() // an entry written without a look may end a claim, and so be due
        return [0, this.#claims.next(call[1]) ?? null]
      case 'append':
        for (const row of call[1]) this.#tx.audit.add(row)
        this.#undo.keep()
        return [0, call[1].length]
      case 'purge':
        return [0, this.#tx.audit.purge(call[1], call[2], call[3])]
      case 'sweep':
        return [0, this.#sweep(now, call[1])]
    }
  }

  #decide(scope: string, list: readonly Op[], dry: boolean, now: number): Answer {
    let done: Committed | Refused
    try {
      done = decide(this.#tx, scope, list, now)
    } catch (e) {
      // Reading failed, or the op is not one: this commit is undone in memory; what the file says of the rest shows at COMMIT.
      this.#undo.back()
      if (isSqlite(e)) throw e
      return [1, say(e)]
    }
    if (dry || !done.ok) this.#undo.back()
    else this.#undo.keep()
    return [0, done]
  }

  #claim(call: ClaimCall, now: number): readonly Claimed[] {
    this.#flush()
    const claimed = this.#claims.claim(this.#tx, call, now)
    this.#undo.keep()
    return claimed
  }

  #sweep(now: number, limit: number): number {
    this.#flush()
    const swept = this.#tidying.sweep(now, limit)
    if (swept > 0) this.#forgetRows() // what is remembered may be gone from the file
    return swept
  }

  #flush(): void {
    const { entries, counters, windows, semaphores, buffers, items, audit } = this.#tx
    counters.flush()
    windows.flush()
    semaphores.flush()
    buffers.flush()
    items.flush()
    entries.flush()
    audit.flush()
  }
  #settle(): void {
    const { entries, counters, windows, semaphores, buffers } = this.#tx
    entries.settle()
    for (const cells of [counters, windows, semaphores, buffers]) cells.settle()
    this.#claims.settle()
  }
  #forgetRows(): void {
    const { entries, counters, windows, semaphores, buffers, items, audit } = this.#tx
    for (const part of [entries, counters, windows, semaphores, buffers, items, audit]) part.forget()
  }
  /** Nothing that the void transaction has left in memory may be believed. */
  #forget(): void {
    this.#forgetRows()
    this.#tx.audit.forgetParts()
    this.#undo.keep()
    this.#claims.forget()
    this.#numbers.forget()
  }

  /**
   * The batch is void before COMMIT: nothing of it is done, also where SQLite has ended the transaction by itself (a full disk). One
   * commit at fault must not take the others with it, least of all those that make room, so they run again each on its own.
   */
  #void(e: unknown, now: number, batch: readonly Write[]): readonly Answer[] {
    this.#forget()
    if (isFatal(e)) throw new Fatal(say(e))
    if (this.#db.isTransaction) this.#rollback.run()
    if (batch.length === 1) return [[1, say(e)]]
    return batch.flatMap((call) => this.run(now, [call]))
  }

  /** Housekeeping between batches: expired rows in bites, and the log of the file back into it once it is long. Throws Fatal. */
  tidy(now: number): void {
    tolerant(() => {
      if (now >= this.#nextSweep) {
        const [done] = this.run(now, [['sweep', BITE]])
        if (done?.[1] !== BITE) {
          this.#nextSweep = now + SWEEP_EVERY_MS
          this.#tidying.giveBackPages()
        }
      }
      this.#checkpoints.look()
    })
  }
}

/** Rows removed in one transaction. */
const BITE = 500
const SWEEP_EVERY_MS = 1000

/**
 * One process at a time holds the store, so whoever held claims before is gone: what was claimed is due. So is what a version before
 * this one has put off farther than a number here reaches (which cannot even be read).
 */
function voidClaims(db: DatabaseSync, now: number): void {
  db.prepare(`UPDATE entry SET owner = NULL, number = NULL, until = NULL, woken = 0, due_at = min(due_at, ?)
    WHERE due_at IS NOT NULL AND (number IS NOT NULL OR due_at > ${Number.MAX_SAFE_INTEGER})`).run(now)
}
