import { defineConfig } from 'vitest/config'

export default defineConfig({
  test: {
    include: ['test/**/*.test.ts'],
    testTimeout: 60_000,
    hookTimeout: 60_000,
    pool: 'threads',
    // A module graph a worker, not a file: loading the sources two hundred times took longer than the tests. No module keeps state.
    isolate: false,
    // Real processes and servers are waited for more than computed with; the default leaves a core idle.
    maxWorkers: '150%',
    reporters: process.env['CI'] ? ['default', ['json', { outputFile: 'test-report.json' }]] : ['default'],
  },
})
