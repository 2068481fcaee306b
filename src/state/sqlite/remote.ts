import { once } from 'node:events'
import { Worker } from 'node:worker_threads'
import { StateUnavailable } from '../../core/errors.ts'
import type { Answer, Carrier } from '../batching.ts'
import { say } from './failure.ts'
import { CLOSE, type Dying, type Hello, type WorkerData } from './worker-messages.ts'

/** Node runs the sources as they are; a published build has JavaScript beside this file. */
const WORKER = new URL(import.meta.url.endsWith('.ts') ? './worker.ts' : './worker.js', import.meta.url)

/** How calls and answers cross. */
export interface Crossing<C, M> {
  readonly pack: (batch: readonly C[]) => unknown
  readonly unpack: (message: M) => readonly Answer[]
}

/** Starts a worker with its own connection and waits until it has it. */
export async function startWorker<C, M extends object>(
  data: WorkerData,
  { pack, unpack }: Crossing<C, M>,
  onFatal: (e: Error) => void,
): Promise<Carrier<C>> {
  const worker = new Worker(WORKER, { workerData: data, transferList: [data.other] })
  // Listened for from the start: a thread that ends at once emits its last message and its end in one go.
  const exited = new Promise<void>((resolve) => worker.once('exit', () => resolve()))
  const silent = exited.then((): [Hello] => [{ failed: `the ${data.role} ended before it said a word` }])
  const [hello] = (await Promise.race([once(worker, 'message'), silent])) as [Hello]
  if (!('ready' in hello)) {
    await exited
    if ('refused' in hello) throw new StateUnavailable(hello.refused)
    throw new StateUnavailable(`cannot open ${data.path}: ${hello.failed}`)
  }

  let waiting: { resolve(a: readonly Answer[]): void; reject(e: Error): void } | undefined
  let closing = false
  let dead: Error | undefined
  const die = (e: Error): void => {
    if (dead !== undefined || closing) return
    dead = e
    waiting?.reject(e)
    onFatal(e)
  }
  worker.on('message', (message: M | Dying) => {
    if (isDying(message)) return die(new Error(message.fatal))
    const { resolve } = waiting!
    waiting = undefined
    resolve(unpack(message))
  })
  worker.on('error', die)
  worker.on('exit', (code) => die(new Error(`the ${data.role} ended (${code})`)))

  return {
    run: (batch) =>
      new Promise((resolve, reject) => {
        if (dead !== undefined) return reject(dead)
        waiting = { resolve, reject }
        try {
          worker.postMessage(pack(batch))
        } catch (e) {
          // It cannot travel, so it was not done; the thread is as well as before.
          waiting = undefined
          resolve(batch.map(() => [1, say(e)]))
        }
      }),
    async close() {
      if (dead !== undefined) return
      closing = true
      worker.postMessage(CLOSE)
      await exited
    },
  }
}

const isDying = (message: object | Dying): message is Dying => 'fatal' in message
