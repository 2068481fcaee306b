import { describe, expect, it } from 'vitest'
import type { StateStore } from '../../src/core/state.ts'
import { OK } from '../fakes/provider.ts'
import { rule } from './build.ts'
import { ends, later, world } from './hold-world.ts'

const once = rule('once', 3, '{ type: deduplicate, ttl_seconds: 60 }')

/** While `is`, every admission that asks for a dedup key is refused by one that is gone when it is looked at. */
function contended() {
  const store = { is: false, asked: 0 }
  const wrap = (base: StateStore): StateStore => ({
    ...base,
    async commit(scope, ops, opts) {
      const at = ops.findIndex((o) => o.op === 'put' && o.kind === 'dedup')
      if (!store.is || at < 0) return base.commit(scope, ops, opts)
      store.asked++
      return { ok: false, at }
    },
  })
  return { store, wrap }
}

describe('others keep changing what an action depends on', () => {
  it('a caller’s is given up after some rounds: 503, worth another try, and nothing was done', async () => {
    const { store, wrap } = contended()
    const { house, hook, send } = await world([once], [OK], { wrap })
    store.is = true
    await expect(send('one', { dedup_key: 'k' })).rejects.toMatchObject({
      status: 503,
      code: 'contention',
      retryAfterMs: 100,
    })
    expect(store.asked).toBe(8)
    expect([hook.sent, await house.records(), await house.stored('intent')]).toEqual([[], [], []])
    store.is = false
    expect(await send('one', { dedup_key: 'k' })).toMatchObject({ outcome: 'executed' })
  })

  it('held work is put back, and released when they have ended', async () => {
    const { store, wrap } = contended()
    const { house, hook, send, pass } = await world([later, once], [OK], { wrap })
    await send('one')
    store.is = true
    await pass(10_500)
    expect(hook.sent).toEqual([])
    expect(await house.stored('scheduled')).toMatchObject([{ lastRefusal: 'contention' }])
    const [entry] = (await house.state.list('scheduled', ['default', 'default'], { limit: 9 })).entries
    expect(entry?.claim).toBeUndefined()
    store.is = false
    await pass(10_000)
    expect(hook.sent).toHaveLength(1)
    expect(await ends(house)).toEqual([
      ['dispatch', 'one', 'scheduled'],
      ['release', 'one', 'executed'],
    ])
  })
})
