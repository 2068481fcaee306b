import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import type { Run, RunStatus } from '../../src/chains/model/run.ts'
import { createSummary, MOST_SUMMARISED, percentile, summarise } from '../../src/chains/views/summary.ts'
import { kinds } from '../../src/core/hold.ts'
import { uuidv7Of } from '../../src/core/ids.ts'
import type { Op } from '../../src/core/state.ts'
import { testEnv } from '../fakes/env.ts'
import { memoryState } from '../fakes/store.ts'
import { scope } from './set-up.ts'

const run = (chain: string, status: RunStatus, startedAt: number, took?: number, n = 0): Run => ({
  v: 2,
  id: uuidv7Of(startedAt, chain, String(n)),
  chain,
  version: 'v',
  totalSteps: 1,
  actionId: 'a',
  runId: 'r',
  priority: 'normal',
  startedAt,
  timeoutMs: 1000,
  deadline: startedAt + 1000,
  status,
  open: [],
  entered: {},
  done: [],
  failures: [],
  taken: 0,
  seq: 0,
  bytes: 0,
  resumed: 0,
  ...(took !== undefined && { endedAt: startedAt + took }),
})

describe('the summary of executions', () => {
  it('counts by chain and status; rates and times are of those that have ended', () => {
    const runs = [
      run('b', 'completed', 1000, 100),
      run('b', 'failed', 1000, 300),
      run('b', 'partially_completed', 1000, 500),
      run('b', 'compensated', 1000, 700),
      run('b', 'waiting', 1000),
      run('a', 'running', 1000),
    ]
    expect(summarise(runs)).toEqual([
      {
        chain_name: 'a',
        runs: 1,
        by_status: { running: 1 },
        ended: 0,
        success_rate: null,
        mean_ms: null,
        p95_ms: null,
      },
      {
        chain_name: 'b',
        runs: 5,
        by_status: { completed: 1, failed: 1, partially_completed: 1, compensated: 1, waiting: 1 },
        ended: 4,
        success_rate: 0.25,
        mean_ms: 400,
        p95_ms: 700,
      },
    ])
  })

  it('the 95th percentile is one of the values, and not more than a twentieth of them is above it', () => {
    expect(
      percentile(
        Array.from({ length: 100 }, (_, i) => i + 1),
        0.95,
      ),
    ).toBe(95)
    fc.assert(
      fc.property(fc.array(fc.nat(), { minLength: 1, maxLength: 200 }), (values) => {
        const sorted = values.toSorted((a, b) => a - b)
        const p = percentile(sorted, 0.95)!
        expect(sorted).toContain(p)
        const above = sorted.filter((v) => v > p).length
        const from = sorted.filter((v) => v >= p).length
        expect(above).toBeLessThanOrEqual(sorted.length * 0.05)
        expect(from).toBeGreaterThanOrEqual(sorted.length * 0.05)
      }),
    )
  })

  it('looks at what began in the window, both ends included', async () => {
    const env = testEnv()
    const { state } = await memoryState(env)
    const now = env.clock.now()
    const put = async (...runs: Run[]) => {
      const ops = runs.map(
        (r): Op => ({ op: 'put', kind: kinds.run, id: r.id, value: JSON.stringify(r), version: env.newId() }),
      )
      expect((await state.commit(scope, ops)).ok).toBe(true)
    }
    const times = [now - 86_400_001, now - 86_400_000, now - 5000, now]
    await put(...times.map((t, i) => run('c', 'completed', t, i)))
    const { summary } = createSummary({ state, env })
    expect(await summary(scope, {})).toMatchObject({ runs: 3, truncated: false, chains: [{ runs: 3, p95_ms: 3 }] })
    expect(await summary(scope, { from: now - 5000, to: now - 1 })).toMatchObject({ runs: 1 })
    expect(await summary(scope, { from: 0 })).toMatchObject({ runs: 4 })
    expect(await summary(scope, { from: now + 1 })).toMatchObject({ runs: 0, chains: [] })
    expect(await summary(['other', 'hq'], {})).toMatchObject({ runs: 0 })
  })

  it('of more than it looks at it says where it stopped', async () => {
    const env = testEnv()
    const { state } = await memoryState(env)
    const now = env.clock.now()
    const all = Array.from({ length: MOST_SUMMARISED + 1 }, (_, i) => run('c', 'completed', now - i, 1))
    const ops = all.map(
      (r): Op => ({ op: 'put', kind: kinds.run, id: r.id, value: JSON.stringify(r), version: env.newId() }),
    )
    for (let i = 0; i < ops.length; i += 1000) await state.commit(scope, ops.slice(i, i + 1000))
    const { summary } = createSummary({ state, env })
    const told = await summary(scope, {})
    expect(told).toMatchObject({ runs: MOST_SUMMARISED, truncated: true })
    expect(Date.parse(told.reached!)).toBe(now - MOST_SUMMARISED + 1)
    expect(await summary(scope, { from: now - MOST_SUMMARISED + 1 })).not.toHaveProperty('reached')
  })
})
