import { defineConfig } from 'vitest/config'

export default defineConfig({
  test: {
    include: ['test/**/*.test.ts'],
    testTimeout: 20_000,
    hookTimeout: 30_000,
    pool: 'threads',
    // A module graph a worker, not a file: loading the sources two hundred times took longer than the tests. No module keeps state.
    isolate: false,
    // The default leaves a core to a watcher that is not there.
    maxWorkers: '100%',
    reporters: process.env['CI'] ? ['default', ['json', { outputFile: 'test-report.json' }]] : ['default'],
  },
})
