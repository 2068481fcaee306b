/** Transactions run alone; everything else runs together, between them. */
export interface Gate {
  together<T>(work: () => Promise<T>): Promise<T>
  alone<T>(work: () => Promise<T>): Promise<T>
}

export const openGate = (): Gate => {
  let lastAlone: Promise<unknown> = Promise.resolve()
  let underWay = new Set<Promise<unknown>>()
  return {
    together: (work) => {
      const run = lastAlone.then(work)
      const settled: Promise<void> = run.then(done, done)
      underWay.add(settled)
      function done(): void {
        underWay.delete(settled)
      }
      return run
    },
    alone: (work) => {
      const before = [lastAlone, ...underWay]
      underWay = new Set()
      const run = Promise.all(before).then(work)
      lastAlone = run.catch(() => {})
      return run
    },
  }
}
