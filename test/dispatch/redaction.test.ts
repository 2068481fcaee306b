import { describe, expect, it } from 'vitest'
import { testHouse } from '../fakes/house.ts'
import { scriptedProvider, unavailable } from '../fakes/provider.ts'

const SECRET = 'hunter2'

describe('PITFALLS 52: redaction covers texts made of values', () => {
  for (const field of ['token', 'payload.token', 'action.payload.token'])
    it(`a group's key and a shown dedup key hide what "${field}" names, in records, dead letters, dry runs and answers`, async () => {
      const hook = scriptedProvider('hook', [unavailable()])
      const house = await testHouse({
        providers: [hook],
        toml: `[background]\nhold_max_attempts = 1\n[audit.redact]\nfields = ["${field}"]\n`,
        rules: `rules:
  - { name: once, priority: 1, condition: { field: action.action_type, eq: once }, action: { type: deduplicate, ttl_seconds: 60, key: [payload.token] } }
  - { name: batch, priority: 2, condition: { field: action.action_type, eq: batch }, action: { type: group, group_by: [payload.token], group_wait_seconds: 1 } }
`,
      })
      const once = { action_type: 'once', provider: 'log', payload: { token: SECRET } }
      await house.dispatch(once)
      const told = [await house.dispatch(once), await house.dispatch({ ...once, id: 'x' }, { trace: true })]
      await house.dispatch({ action_type: 'batch', provider: 'hook', payload: { token: SECRET } })
      await house.env.clock.advance(5000)
      expect(hook.sent).toHaveLength(1)
      expect(JSON.stringify(hook.sent[0]?.request)).toContain(SECRET) // what delivery needs is whole
      const read = [
        told,
        await house.records(),
        house.env.logged,
        await house.groups.list(['default', 'default'], { limit: 9 }),
      ]
      expect(JSON.stringify(read)).not.toContain(SECRET)
    })
})
