import { testHouse } from '../fakes/house.ts'
import { OK, type Scripted, scriptedProvider } from '../fakes/provider.ts'
import { rule, rules, type } from './build.ts'

const RULES = rules(
  rule('clean', 1, '{ type: modify, changes: { clean: true } }'),
  rule('once', 2, '{ type: deduplicate, ttl_seconds: 60 }', type('dup')),
  rule('slow', 3, '{ type: throttle, max_count: 1, window_seconds: 60, message: not so fast }', type('many')),
  rule('no', 4, '{ type: deny, reason: never }', type('bad')),
  rule('drop', 4, '{ type: suppress, reason: noise }', type('noise')),
  rule('some', 4, '{ type: group, group_by: [payload.x] }', type('grouped')),
  rule('later', 4, '{ type: schedule, delay_seconds: 60 }', type('later')),
  rule('go', 4, '{ type: chain, chain: c }', type('chain')),
  rule('else', 4, '{ type: reroute, target_provider: other }', type('elsewhere')),
  rule('same', 4, '{ type: reroute, target_provider: hook }', type('same')),
)
const CHAINS =
  '[[chains.definitions]]\nname = "c"\n[[chains.definitions.steps]]\nname = "s"\nprovider = "other"\naction_type = "x"\n[[chains.definitions.steps]]\nname = "t"\nprovider = "other"\naction_type = "x"\n'
/** A house whose rules lead to every outcome, by action type. */
export const world = async (script: readonly Scripted[] = [OK], more: Parameters<typeof testHouse>[0] = {}) => {
  const hook = scriptedProvider('hook', script)
  const other = scriptedProvider('other', [{ status: 201, body: { at: 'other' } }])
  const house = await testHouse({ providers: [hook, other], rules: RULES, chains: CHAINS, loops: false, ...more })
  const send = (action_type: string, more: object = {}, request = {}) =>
    house.dispatch({ action_type, provider: 'hook', id: 'one', payload: { x: 1 }, ...more }, request)
  return { hook, other, house, send }
}
