import { expect, test } from 'vitest'
import { testGateway } from '../fakes/gateway.ts'

test('an action is delivered and answered', async () => {
  const g = await testGateway()
  const told = await g.dispatch({ action_type: 'greeting', provider: 'out', payload: { text: 'hello' } })
  expect(told.body).toMatchObject({ outcome: 'executed', provider: 'out', attempts: 1 })
  expect(told.status).toBe(200)
  expect(told.headers.get('signalbox-outcome')).toBe('executed')
  expect(g.providers.out!.sent).toHaveLength(1)
  expect((await g.ask('GET', '/health')).body).toMatchObject({ status: 'ok', dead_letters: 0 })
  expect((await g.ask('GET', '/readyz')).status).toBe(200)
})
