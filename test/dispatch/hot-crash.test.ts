import { expect, it } from 'vitest'
import { SCOPE } from '../fakes/house.ts'
import { scriptedProvider } from '../fakes/provider.ts'
import { rule, rules } from './build.ts'
import { limited } from './hot-world.ts'
import { crashes } from './matrix.ts'

const A = { action_type: 'a', provider: 'hook', payload: { x: 1 } }

it('PITFALLS 5, 61: a node dies at each of its writes: never over the limit, and off means off, with the record that says why', async () => {
  await crashes({
    rules: rules(limited(rule('all', 1, '{ type: allow }'), 1, 'P1D')),
    providers: (taken) => [scriptedProvider('hook', [taken.accept()])],
    effects: 1,
    async play(s) {
      await s.say({ ...A, id: 'one' })
      await s.say({ ...A, id: 'two' })
    },
    async check({ told, two, taken }) {
      const view = () => two.rules.get('all', SCOPE)
      const off = view()?.disabled_by === 'system'
      if (told.some((t) => t?.outcome === 'hot')) expect(off).toBe(true)
      const records = (await two.records()).filter((r) => r.outcome === 'hot')
      expect(records.length).toBe(off ? 1 : 0)
      if (off) expect(records[0]).toMatchObject({ rule: 'all', details: { disable_details: view()?.disable_details } })
      // One of these may still be within the limit, if nothing was counted before the end.
      const more = [await two.dispatch({ ...A, id: 'three' }), await two.dispatch({ ...A, id: 'four' })]
      expect(more[1]?.outcome).toBe('hot')
      expect(view()).toMatchObject({ enabled: false, disabled_by: 'system' })
      expect(taken.effects.size).toBeLessThanOrEqual(1)
    },
  })
})
