import { Histogram, Registry } from 'prom-client'
import { expect, test } from 'vitest'
import { Durations } from '../../src/http/durations.ts'

test('says what prom-client says of the same times', async () => {
  const ours = new Registry()
  const theirs = new Registry()
  const durations = new Durations('took_seconds', 'How "long"', 'by', [ours])
  const histogram = new Histogram({
    name: 'took_seconds',
    help: 'How "long"',
    labelNames: ['by'],
    buckets: [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60],
    registers: [theirs],
  })
  expect(await ours.metrics()).toBe(await theirs.metrics())
  for (const by of ['a', 'b "\\\n'])
    for (const ms of [0, 1, 2, 2.5, 3, 59_999, 60_000, 60_001, 1e9, 40, 40]) {
      durations.took(by, ms)
      histogram.observe({ by }, ms / 1000)
    }
  expect(await ours.metrics()).toBe(await theirs.metrics())
})

test('a clock that went back took no time', async () => {
  const registry = new Registry()
  new Durations('t', 'h', 'by', [registry]).took('x', -5)
  expect(await registry.metrics()).toContain('t_sum{by="x"} 0\n')
})
