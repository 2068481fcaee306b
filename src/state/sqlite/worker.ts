import type { DatabaseSync } from 'node:sqlite'
import { parentPort, workerData } from 'node:worker_threads'
import { StateUnavailable } from '../../core/errors.ts'
import { answersPacker } from './answers.ts'
import { writesUnpacker } from './codec.ts'
import { Engine } from './engine.ts'
import { say } from './failure.ts'
import { holdFile } from './lock.ts'
import type { Packed } from './packing.ts'
import { answerOf, type Read, Reads } from './reads.ts'
import { openReader, openWriter } from './schema.ts'
import { CLOSE, type Dying, type Hello, type WorkerData } from './worker-messages.ts'

const port = parentPort!
const data = workerData as WorkerData
interface Served {
  serve(message: unknown): string | Packed
  tidy(): void
  close(): void
}

function writer(): Served {
  const lock = holdFile(data.path)
  const db = openWriter(data)
  const engine = new Engine(db, data.now)
  const unpack = writesUnpacker()
  const pack = answersPacker()
  let now = data.now
  return {
    serve(message) {
      const [at, batch] = unpack(message as Packed)
      now = at
      return pack(engine.run(at, batch))
    },
    tidy: () => engine.tidy(now),
    close() {
      db.close()
      lock.release()
    },
  }
}
function reader(): Served {
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
      return JSON.stringify(batch.map((call) => answerOf(reads(), call, now)))
    },
    tidy() {},
    close: () => opened?.db.close(),
  }
}

function start(): void {
  const served = data.role === 'writer' ? writer() : reader()
  const guarded = (act: () => void): void => {
    try {
      act()
    } catch (e) {
      port.postMessage({ fatal: say(e) } satisfies Dying)
      port.close()
    }
  }
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
  port.close()
}
