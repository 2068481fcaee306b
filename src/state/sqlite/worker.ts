import type { DatabaseSync } from 'node:sqlite'
import { parentPort, workerData } from 'node:worker_threads'
import { StateUnavailable } from '../../core/errors.ts'
import type { Answer } from '../batching.ts'
import { answersPacker } from './answers.ts'
import { Checkpoints, copyWhenAsked, mayCopyBeside } from './checkpoints.ts'
import { writesUnpacker } from './codec.ts'
import { Engine } from './engine.ts'
import { say } from './failure.ts'
import type { Packed } from './packing.ts'
import { answerText, type Read, Reads } from './reads.ts'
import { openHeld, openReader } from './schema.ts'
import { CLOSE, type Dying, type Hello, type WorkerData } from './worker-messages.ts'

const port = parentPort!
const data = workerData as WorkerData
interface Served {
  serve(message: unknown): readonly string[] | Packed
  tidy(): void
  close(): void
}

function writer(db: DatabaseSync, free: () => void): Served {
  const ask = mayCopyBeside(process.versions.sqlite!) ? () => data.other.postMessage('copy') : undefined
  const checkpoints = new Checkpoints(db, ask)
  data.other.on('message', () => guarded(() => checkpoints.copied()))
  const engine = new Engine(db, data.now, checkpoints)
  const unpack = writesUnpacker()
  const pack = answersPacker()
  let now = data.now
  /** What was done is done, and a restart would not make its answer any shorter. */
  const packed = (answers: readonly Answer[]): Packed => {
    try {
      return pack(answers)
    } catch (e) {
      if (!(e instanceof RangeError)) throw e
      return pack(answers.map(() => [2, say(e)]))
    }
  }
  return {
    serve(message) {
      const [at, batch] = unpack(message as Packed)
      now = at
      return packed(engine.run(at, batch))
    },
    tidy: () => engine.tidy(now),
    close() {
      data.other.close()
      free()
    },
  }
}
function reader(): Served {
  const closeCopying = copyWhenAsked(data.path, data.other, guarded)
  let opened: { db: DatabaseSync; reads: Reads } | undefined
  const reads = (): Reads => {
    if (opened === undefined) {
      const db = openReader(data.path)
      opened = { db, reads: new Reads(db) }
    }
    return opened.reads
  }
  return {
    serve(message) {
      const [now, batch] = message as [number, Read[]]
      return batch.map((call) => answerText(reads(), call, now))
    },
    tidy() {},
    close() {
      closeCopying()
      opened?.db.close()
    },
  }
}

/** Whatever is thrown is the end of the thread, and the others are told. */
function guarded(act: () => void): void {
  try {
    act()
  } catch (e) {
    port.postMessage({ fatal: say(e) } satisfies Dying)
    port.close()
  }
}

function start(): void {
  const served = data.role === 'writer' ? openHeld(data, writer) : reader()
  // It has nothing to say that would be worth living on for.
  data.other.unref()
  port.on('message', (message: unknown) => {
    if (message === CLOSE) {
      guarded(() => served.close())
      return port.close()
    }
    guarded(() => port.postMessage(served.serve(message)))
    guarded(() => served.tidy())
  })
  port.postMessage({ ready: true } satisfies Hello)
}

try {
  start()
} catch (e) {
  const message = say(e)
  port.postMessage((e instanceof StateUnavailable ? { refused: message } : { failed: message }) satisfies Hello)
  // Either would keep the thread alive.
  data.other.close()
  port.close()
}
