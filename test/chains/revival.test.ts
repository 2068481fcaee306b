import { describe, expect, it } from 'vitest'
import type { JsonObject } from '../../src/core/json.ts'
import { badRequest, OK, receiver, scriptedProvider } from '../fakes/provider.ts'
import { everyDeath } from './deaths.ts'
import { letters, line, scope, start, step, world } from './set-up.ts'

const RUN = '019b8e4a-0000-7000-8000-000000000001'
const part = (name: string) => step(name, 'p', { payload_template: { step: name } })

describe('bringing back, whichever commit a node dies at', () => {
  const inner = { name: 'inner', steps: [part('in'), part('in2')] }
  const group = {
    name: 'all',
    parallel: {
      branches: [{ ...part('x') }, { name: 'sub', sub_chain: 'inner' }],
      max_concurrency: 1,
      on_failure: 'best_effort',
      join: 2,
    },
  }

  it('a retry of parent, group and child in one: what was done is done once, what failed once more', async () => {
    const deaths = await everyDeath(
      async () => {
        const taken = receiver()
        // `in2` fails the first time it is reached, whoever sends it.
        let failed = false
        const p = scriptedProvider('p', [
          (sent) => {
            const { step: name } = (sent.request as JsonObject)['payload'] as JsonObject
            if (name === 'in2' && !failed) {
              failed = true
              throw badRequest()
            }
            taken.take(sent)
            return OK
          },
        ])
        return { taken, w: await world([line(part('a'), group, part('z')), inner], { p: { provider: p } }) }
      },
      async ({ w }, chains, store) => {
        const id = await start(w, chains, store, 'line', undefined, RUN)
        await w.env.clock.settle()
        await chains.retry(scope, id, 'ann')
        await w.env.clock.advance(100)
      },
      async ({ w, taken }, chains, label) => {
        const [root] = (await chains.list(scope, { name: 'line', limit: 2 })).chains
        const left = await letters(w)
        if (!root) return
        // Failed, with its letter, where the node died before the retry; else nothing is left of the failure.
        const completed = root['status'] === 'completed'
        if (!completed) expect(root, label).toMatchObject({ status: 'failed' })
        expect(root['resumed'] === 1 && !completed, label).toBe(false)
        expect(left, label).toHaveLength(completed ? 0 : 1)
        const steps = [...taken.effects.values()].map((r) => ((r as JsonObject)['payload'] as JsonObject)['step'])
        expect(steps.sort(), label).toEqual(completed ? ['a', 'in', 'in2', 'x', 'z'] : ['a', 'in', 'x'])
        const { entries } = await w.memory.state.list('inbox', scope, { limit: 10 })
        expect(entries, label).toEqual([])
      },
    )
    expect(deaths).toBeGreaterThan(10)
  })
})
