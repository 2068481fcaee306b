import { availableParallelism, tmpdir } from 'node:os'
import { join } from 'node:path'
import { defineConfig } from 'vitest/config'
import { BaseSequencer, type TestSpecification } from 'vitest/node'

/** Files that mostly wait, for leases to run out and servers to come up; then those that last. */
const waiting = ['/test/e2e/', '-faults.test.ts', '-losses.test.ts', '/test/state/', '/test/chains/matrix']
const place = (file: TestSpecification): number => {
  const at = waiting.findIndex((w) => file.moduleId.includes(w))
  return at < 0 ? waiting.length : at
}

/** Those first, and the rest computes beside them: left to the end, they would be waited for by nobody but us. */
class WaitingFirst extends BaseSequencer {
  override async sort(files: TestSpecification[]): Promise<TestSpecification[]> {
    return (await super.sort(files)).sort((a, b) => place(a) - place(b))
  }
}

/** Loads with faults that go on for a while, in a run of their own: `npm run prove`. All else is the suite. */
const PROOFS = 'test/e2e/cluster/*.test.ts'
const report = (mode: string): string => (mode === 'proof' ? 'test-report-proof.json' : 'test-report.json')

export default defineConfig(({ mode }) => ({
  test: {
    // Threads and processes that tests start find their sources compiled, as those of the gateway do: else each brings a compiler along.
    env: { NODE_COMPILE_CACHE: process.env['NODE_COMPILE_CACHE'] ?? join(tmpdir(), 'node-compile-cache') },
    include: [mode === 'proof' ? PROOFS : 'test/**/*.test.ts'],
    exclude: mode === 'proof' ? [] : [PROOFS],
    setupFiles: 'test/fakes/seed.ts',
    testTimeout: 180_000,
    hookTimeout: 180_000,
    // What is polled for ends the wait when it is there: the limit is for a machine that has much else to do.
    expect: { poll: { timeout: 30_000 } },
    pool: 'threads',
    // A module graph a worker, not a file: loading the sources two hundred times took longer than the tests. No module keeps state.
    isolate: false,
    // Real processes and servers are waited for more than computed with. A number, as vitest cuts a share at the number of cores.
    maxWorkers: availableParallelism() * 2,
    sequence: { sequencer: WaitingFirst },
    reporters: process.env['CI'] ? ['default', ['json', { outputFile: report(mode) }]] : ['default'],
  },
}))
