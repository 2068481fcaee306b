import { describe, expect, it } from 'vitest'
import { Problem } from '../../src/core/errors.ts'
import { badRequest, OK } from '../fakes/provider.ts'
import { audit, letters, line, scope, start, step, world } from './set-up.ts'

describe('redrive', () => {
  const inner = { name: 'inner', steps: [step('in'), step('in2')] }
  const outer = line({ name: 'sub', sub_chain: 'inner' }, step('after', 'q'))

  it('continues a failed execution at its failed step under a new token, and its parents with it', async () => {
    const w = await world([outer, inner], { p: { script: [OK, badRequest(), OK] }, q: {} })
    const chains = await w.node()
    const id = await start(w, chains, w.memory.state, 'line')
    await w.env.clock.settle()
    expect(await chains.get(scope, id)).toMatchObject({ status: 'failed', last_step: 'sub' })
    const [letter] = await letters(w)
    const failed = { scope, chainId: letter!.origin.chain_id!, step: 'in2', iteration: letter!.origin.iteration! }
    // Long after: what was kept must not have gone, and the deadline is a new one.
    await w.env.clock.advance(3_000_000)
    await chains.resumeFromDeadLetter(failed, [{ op: 'delete', kind: 'dead_letter', id: letter!.id }])
    await w.env.clock.settle()
    expect(await chains.get(scope, id)).toMatchObject({ status: 'completed', resumed: 1, steps_taken: 3 })
    expect(await letters(w)).toEqual([])
    const tokens = w.providers['p']!.sent.map((s) => s.token)
    expect(new Set(tokens).size).toBe(3) // PITFALLS 36: no stale token
    expect(w.providers['q']!.sent).toHaveLength(1)
    expect((await audit(w, { kind: 'chain' })).map((r) => r.outcome).sort()).toEqual([
      'completed',
      'completed',
      'failed',
      'failed',
    ])
    await expect(chains.resumeFromDeadLetter(failed, [])).rejects.toMatchObject({ code: 'chain_moved_on' })
  })

  it('is refused when the execution has gone on, and of two at once one is', async () => {
    const judged = line(step('one', 'p', { default_next: 'two' }), step('two', 'q'))
    const w = await world([judged, { name: 'plain', steps: [step('one')] }], {
      p: { script: [badRequest(), badRequest(), OK] },
      q: {},
    })
    const chains = await w.node()
    const id = await start(w, chains, w.memory.state, 'line')
    await w.env.clock.settle()
    await expect(chains.resumeFromDeadLetter({ scope, chainId: id, step: 'one', iteration: 0 }, [])).rejects.toThrow(
      Problem,
    )
    const plain = await start(w, chains, w.memory.state, 'plain')
    await w.env.clock.settle()
    const both = await Promise.allSettled(
      [1, 2].map(() => chains.resumeFromDeadLetter({ scope, chainId: plain, step: 'one', iteration: 0 }, [])),
    )
    await w.env.clock.settle()
    expect(both.map((b) => b.status).sort()).toEqual(['fulfilled', 'rejected'])
    expect(await chains.get(scope, plain)).toMatchObject({ status: 'completed' })
    expect(w.providers['p']!.sent).toHaveLength(3)
  })
})
