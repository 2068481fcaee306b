import { describe, expect, it } from 'vitest'
import { kinds } from '../../src/core/hold.ts'
import { pullFor, scope, start, stepsOf, world } from './set-up.ts'

const waits = (name: string) => ({ name, wait_for_signal: { signal: 'go' } })
const twice = { name: 'line', timeout_seconds: 1000, steps: [waits('first'), waits('second')] }
const under = (text: string, hash = 'h') => ({ name: 'go', payload: text, by: 'ann', key: { text, hash } })

async function begun() {
  const w = await world([twice], {})
  const chains = await w.node()
  const id = await start(w, chains, w.memory.state, 'line')
  await w.env.clock.settle()
  return { w, chains, id }
}

describe('a signal under an Idempotency-Key', () => {
  it('is sent once, however often it is said, at the same time and by another node too', async () => {
    const { w, chains, id } = await begun()
    const other = await w.node()
    const all = await Promise.all([chains, other, chains, other].map((c) => c.signal(scope, id, under('k'))))
    expect(all.map((a) => a.repeated).toSorted()).toEqual([false, true, true, true])
    await pullFor(w, chains, 10)
    expect(stepsOf(await chains.get(scope, id))).toMatchObject({
      first: { status: 'completed' },
      second: { status: 'waiting' },
    })
    expect((await chains.signal(scope, id, under('l'))).repeated).toBe(false)
    await pullFor(w, chains, 10)
    expect(await chains.get(scope, id)).toMatchObject({ status: 'completed' })
  })

  it('is answered as before when the execution has ended since, and refused with another body or by another caller', async () => {
    const { w, chains, id } = await begun()
    for (const key of ['k', 'l']) {
      await chains.signal(scope, id, under(key))
      await pullFor(w, chains, 10)
    }
    expect(await chains.signal(scope, id, under('k'))).toMatchObject({ repeated: true, answer: { accepted: true } })
    await expect(chains.signal(scope, id, under('k', 'other'))).rejects.toMatchObject({ code: 'idempotency_mismatch' })
    await expect(chains.signal(scope, id, { ...under('k'), by: 'bob' })).rejects.toMatchObject({ code: 'chain_ended' })
  })

  it('is forgotten after a day, and with the execution', async () => {
    const { w, chains, id } = await begun()
    const keys = async () => (await w.memory.state.list(kinds.signalKey, scope, { limit: 10 })).entries.length
    await chains.signal(scope, id, under('k'))
    await chains.signal(scope, id, under('l'))
    await pullFor(w, chains, 10)
    expect(await keys()).toBe(2)
    await w.env.clock.advance(60_000)
    expect(await chains.purge(scope, w.env.clock.now(), 10)).toBe(1)
    expect(await keys()).toBe(0)
    const again = await start(w, chains, w.memory.state, 'line')
    await w.env.clock.settle()
    await chains.signal(scope, again, under('k'))
    expect(await keys()).toBe(1)
    await w.env.clock.advance(86_400_001)
    expect(await keys()).toBe(0)
  })
})
