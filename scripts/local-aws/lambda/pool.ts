/** The warm workers of one function version: the last one used is used first; callers beyond the bound wait in order. */
import type { Ended, Worker, WorkerRequest } from './worker.ts'

export interface Pool {
  run(request: Omit<WorkerRequest, 'deadline'>, timeoutMs: number): Promise<{ ended: Ended; log: string }>
  /** Takes no idle worker along, lets the busy ones finish: calls under way end on the code they began with. */
  retire(): void
  /** Ends every worker now, and resolves when they are gone. */
  stop(): Promise<void>
}

const MAX_WORKERS = 4

export const openPool = (start: () => Worker): Pool => {
  const idle: Worker[] = []
  const all = new Set<Worker>()
  const waiting: ((worker: Worker) => void)[] = []
  let retired = false
  let stopped = false

  const add = (): Worker => {
    if (stopped) throw new Error('the function is stopped')
    const worker = start()
    all.add(worker)
    return worker
  }
  const take = (): Worker | Promise<Worker> => {
    for (let worker = idle.pop(); worker; worker = idle.pop()) {
      if (worker.alive()) return worker
      all.delete(worker)
    }
    return all.size < MAX_WORKERS ? add() : new Promise((resolve) => waiting.push(resolve))
  }
  const giveBack = (worker: Worker): void => {
    const next = waiting.shift()
    if (!next && retired) worker.kill()
    const live = worker.alive()
    if (!live) all.delete(worker)
    if (next) next(live ? worker : add())
    else if (live) idle.push(worker)
  }

  return {
    run: async (request, timeoutMs) => {
      const worker = await take()
      try {
        const ended = await worker.run(request, timeoutMs)
        return { ended, log: worker.log() }
      } finally {
        giveBack(worker)
      }
    },
    retire: () => {
      retired = true
      for (const worker of idle) worker.kill()
    },
    stop: async () => {
      retired = true
      stopped = true
      waiting.length = 0
      for (const worker of all) worker.kill()
      await Promise.all([...all].map(({ gone }) => gone))
    },
  }
}
