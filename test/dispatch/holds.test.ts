import { describe, expect, it } from 'vitest'
import { testHouse } from '../fakes/house.ts'
import { scriptedProvider } from '../fakes/provider.ts'
import { rule, rules } from './build.ts'

describe('held work', () => {
  it('a release names each matched rule once, and counts no hit of those that matched before', async () => {
    const hook = scriptedProvider('hook')
    const house = await testHouse({
      providers: [hook],
      rules: rules(
        rule('first', 1, '{ type: modify, changes: { seen: 1 } }'),
        rule('later', 2, '{ type: schedule, delay_seconds: 10 }'),
        rule('mark', 3, '{ type: modify, changes: { late: true } }'),
      ),
    })
    await house.dispatch({ action_type: 'a', provider: 'hook', id: 'one' })
    await house.env.clock.advance(12_000)
    expect((await house.records()).map((r) => [r.kind, r.matched])).toEqual([
      ['dispatch', ['first', 'later']],
      ['release', ['first', 'later', 'mark']],
    ])
    expect(house.rules.list().map((r) => [r.name, r.hits])).toEqual([
      ['first', 1],
      ['later', 1],
      ['mark', 1],
    ])
  })
})
