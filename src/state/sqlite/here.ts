import type { DatabaseSync } from 'node:sqlite'
import type { Clock } from '../../core/clock.ts'
import { StateUnavailable, StateUnknown } from '../../core/errors.ts'
import { type Answer, batching, type Carrier, nextTurn } from '../batching.ts'
import { charsOfWrite, Engine, type Write } from './engine.ts'
import { answerOf, type Read, Reads } from './reads.ts'
import { type Channels, type Opened, storeOver } from './store.ts'

export interface HereOptions {
  readonly db: DatabaseSync
  readonly clock: Clock
  readonly newId: () => string
  readonly through?: Channels['through']
  readonly onFatal: (e: Error) => void
  /** Frees what belongs to the connection; the connection itself is the caller's. */
  readonly onClose: () => void
}

/** The engine on the calling thread: the same code as in the worker, with every batch run at the end of the turn. For tests and tools. */
export function openHere({ db, clock, newId, onFatal, onClose, through }: HereOptions): Opened {
  const engine = new Engine(db, clock.now())
  const reads = new Reads(db)
  const writer: Carrier<Write> = {
    async run(batch) {
      try {
        const answers = overWire(engine.run(clock.now(), batch))
        engine.tidy(clock.now())
        return answers
      } catch (e) {
        onFatal(e instanceof Error ? e : new Error(String(e)))
        throw e
      }
    },
    close: async () => onClose(),
  }
  const reader: Carrier<Read> = {
    run: async (batch) => overWire(batch.map((call) => answerOf(reads, call, clock.now()))),
    close: async () => {},
  }
  return storeOver({
    writer: batching(writer, nextTurn(queueMicrotask), StateUnknown, charsOfWrite),
    reader: batching(reader, nextTurn(queueMicrotask), StateUnavailable),
    clock,
    newId,
    through,
  })
}

/** As if it had travelled: what a caller gets is his own. */
const overWire = (answers: readonly Answer[]): readonly Answer[] => JSON.parse(JSON.stringify(answers)) as Answer[]
