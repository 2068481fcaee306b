import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { LOAD_CORE } from '../../scripts/bench/bench.ts'
import { type Gateway, openGateway } from '../../scripts/bench/chains/gateway.ts'
import type { ChainLoad, ChainResult } from '../../scripts/bench/chains/load.ts'
import { threeSteps } from '../../scripts/bench/chains/settings.ts'
import { runPinned } from '../../scripts/bench/process.ts'

/** What the bench says of chains rests on its load: that it sees each end, and each first step. It pins, which Linux alone can. */
describe.skipIf(process.platform !== 'linux')('the load of the chain bench', () => {
  const work = mkdtempSync(join(tmpdir(), 'signalbox-bench-'))
  let gateway: Gateway
  beforeAll(async () => {
    gateway = await openGateway({ work }, 'three-steps')
  })
  afterAll(async () => {
    await gateway.stop()
    rmSync(work, { recursive: true })
  })

  it('tells why the engine refuses a definition', async () => {
    const [step] = threeSteps.steps
    const refused = await gateway.define({ ...threeSteps, steps: [{ ...step, provider: 'consle' }] })
    expect(refused).toContain('there is no provider "consle"')
  })

  it('counts what the API says has completed, and measures every one', async () => {
    expect(await gateway.define(threeSteps)).toBeUndefined()
    const request: ChainLoad = {
      port: gateway.server.port,
      chain: threeSteps.name,
      store: gateway.store,
      log: gateway.log,
      atOnce: 2,
      warmupMs: 0,
      measureMs: 200,
    }
    const script = resolve(import.meta.dirname, '../../scripts/bench/chains/load.ts')
    const result = await runPinned<ChainResult>(LOAD_CORE, script, request)
    const { chains } = (await gateway.get('/v1/chains?status=completed&limit=1000')) as { chains: { status: string }[] }
    expect(result.ended).toBe(chains.length)
    expect(result.ended).toBeGreaterThanOrEqual(2)
    expect(result).toMatchObject({ failed: 0 })
    expect(result.p50Ms).toBeGreaterThan(0)
    expect(result.p99Ms).toBeGreaterThanOrEqual(result.firstStepP50Ms)
  })
})
