import { describe, expect, test } from 'vitest'
import { StateTooLarge, StateUnavailable, StateUnknown } from '../../src/core/errors.ts'
import type { StateStore } from '../../src/core/state.ts'
import { testGateway } from '../fakes/gateway.ts'
import { problem } from './read.ts'

describe('the store', () => {
  const failing = (error: () => Error) =>
    testGateway({
      store: (base): StateStore => ({
        ...base,
        commit: () => Promise.reject(error()),
        get: () => Promise.reject(error()),
        depths: () => Promise.reject(error()),
      }),
    })
  const action = { action_type: 'x', provider: 'out' }
  test('is away: 503, nothing was done, and health says so', async () => {
    const g = await failing(() => new StateUnavailable('secret path /var/lib'))
    const t = await g.dispatch(action)
    problem(t, 503, 'state_unavailable', { retry_after_ms: 1000 })
    expect(t.headers.get('retry-after')).toBe('1')
    expect(t.text).not.toContain('secret')
    problem(await g.ask('GET', '/readyz'), 503, 'not_ready', { detail: 'the state store does not answer' })
    const health = await g.ask('GET', '/health')
    expect([health.status, health.body]).toEqual([
      503,
      expect.objectContaining({ status: 'degraded', dead_letters: null }),
    ])
    expect((await g.ask('GET', '/metrics')).text).toContain('signalbox_state_up 0')
    expect((await g.ask('GET', '/v1/stats')).body).toMatchObject({
      waiting: null,
      problems: { state_unavailable: 1, not_ready: 1 },
    })
    expect((await g.ask('GET', '/livez')).status).toBe(200)
  })
  test('does not answer: 503, it may be done', async () => {
    const g = await failing(() => new StateUnknown('no reply'))
    problem(await g.dispatch(action), 503, 'state_unknown')
    const { body } = await g.ask('POST', '/v1/dispatch/batch', [action, action])
    expect(body.results).toMatchObject([
      { status: 503, code: 'state_unknown' },
      { status: 503, code: 'state_unknown' },
    ])
  })
  test('what it said is in the log, once a minute', async () => {
    const g = await failing(() => new StateUnknown('no end', { cause: new Error('the disk is full') }))
    const warned = (): readonly object[] => g.env.logged.filter((l) => l.message.includes('state store'))
    for (let i = 0; i < 3; i++) await g.dispatch(action)
    const line = { code: 'state_unknown', reason: 'no end: the disk is full' }
    expect(warned()).toMatchObject([{ level: 'warn', fields: { ...line, refused: 1 } }])
    await g.advance(60_000)
    await g.dispatch(action)
    expect(warned()).toMatchObject([{}, { level: 'warn', fields: { ...line, refused: 3 } }])
  })
  test('never takes as much: 413, nothing was done, and nobody is told to come again', async () => {
    const g = await failing(() => new StateTooLarge('an entry of 500 KB'))
    const t = await g.dispatch(action)
    problem(t, 413, 'too_large_to_store')
    expect([t.headers.get('retry-after'), t.text.includes('500')]).toEqual([null, false])
  })
  test('that is merely slow does not hold up readiness', async () => {
    const g = await testGateway({
      store: (base) => ({ ...base, get: () => new Promise(() => {}), depths: () => new Promise(() => {}) }),
    })
    const asked = Promise.all([g.ask('GET', '/readyz'), g.ask('GET', '/health')])
    await g.advance(1000)
    const [ready, health] = await asked
    expect([ready.status, health.status]).toEqual([503, 503])
  })
  test('PITFALLS 57: an error nobody foresaw is a 500 with an id for the log, and no word of its own', async () => {
    const g = await failing(() => new Error('password is hunter2'))
    const t = await g.dispatch(action)
    problem(t, 500, 'internal', { error_id: expect.any(String) })
    expect(t.text).not.toMatch(/hunter2|stack|\.ts/)
    expect(g.env.logged).toContainEqual(
      expect.objectContaining({
        level: 'error',
        fields: expect.objectContaining({ error_id: String(t.body.error_id) }),
      }),
    )
  })
})
