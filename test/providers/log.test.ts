import { expect, test } from 'vitest'
import { testEnv } from '../fakes/env.ts'
import { anAction, configErrors, never, openProvider, TOKEN } from './open.ts'

test('logs the action once, under the name it was configured with', async () => {
  const env = testEnv()
  const p = openProvider('log', {}, env, 'local-fallback')
  const action = anAction({ payload: { __proto__: { x: 1 }, provider: 'mine', secret: 's' } })
  const receipt = await p.send(p.render(action, { token: TOKEN }), { token: TOKEN, signal: never() })
  expect(receipt).toEqual({ status: 200, body: { provider: 'local-fallback', logged: true } })
  const { id: action_id, action_type, namespace, tenant, payload } = action
  const fields = { provider: 'local-fallback', action_id, action_type, namespace, tenant, payload }
  expect(env.logged).toEqual([{ level: 'info', message: 'action', fields }])
  expect(p.sendNow?.(p.render(action, { token: TOKEN }))).toEqual(receipt)
  expect(env.logged).toHaveLength(2)
  expect(env.logged[1]).toEqual(env.logged[0])
})

test('it has no effect outside, so it needs no intent', async () => {
  const p = openProvider('log', {}, testEnv())
  expect(p.hasEffect).toBe(false)
  expect(p.dedupWindowMs({})).toBe(0)
  await expect(p.check(never())).resolves.toBeUndefined()
})

test('it takes no keys', () => {
  expect(configErrors('log', { level: 'info' })).toHaveLength(1)
})

test('PITFALLS 37: two providers of one type are two providers', async () => {
  const env = testEnv()
  const both = [openProvider('log', {}, env, 'a'), openProvider('log', {}, env, 'b')]
  const bodies = []
  for (const p of both)
    bodies.push((await p.send(p.render(anAction(), { token: TOKEN }), { token: TOKEN, signal: never() })).body)
  expect(bodies).toEqual([
    { provider: 'a', logged: true },
    { provider: 'b', logged: true },
  ])
})
