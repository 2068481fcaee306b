import { type House, testHouse } from '../fakes/house.ts'
import { OK, type Scripted, scriptedProvider } from '../fakes/provider.ts'
import { rule, rules } from './build.ts'

/** A house with two providers and these rules. */
export const world = async (
  list: readonly string[],
  script: readonly Scripted[] = [OK],
  more: Parameters<typeof testHouse>[0] = {},
) => {
  const hook = scriptedProvider('hook', script)
  const other = scriptedProvider('other')
  const house = await testHouse({ providers: [hook, other], rules: rules(...list), ...more })
  const send = (id: string, more: object = {}) =>
    house.dispatch({ action_type: 'a', provider: 'hook', id, payload: { k: 1 }, ...more })
  return { hook, other, house, send, pass: (ms: number) => house.env.clock.advance(ms) }
}
export const ends = async (house: House) => (await house.records()).map((r) => [r.kind, r.action_id, r.outcome])
export const later = rule('later', 2, '{ type: schedule, delay_seconds: 10 }')
