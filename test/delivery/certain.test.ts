import { expect, test } from 'vitest'
import { OK, scriptedProvider } from '../fakes/provider.ts'
import { setUp } from './set-up.ts'

const log = (script: Parameters<typeof scriptedProvider>[1] = [OK]) =>
  scriptedProvider('p', script, { hasEffect: false })

test('one attempt, counted wherever attempts are', async () => {
  const s = setUp({ p: { provider: log(), maxConcurrent: 1 } }, { p: 1 })
  expect(s.delivery.certain('p')).toBe(true)
  const both = [s.delivery.deliverCertain('p', { stored: 'bytes' }), s.delivery.deliverCertain('p', 2)]
  expect(await Promise.all(both)).toEqual([OK, OK])
  expect(s.p.sent.map((x) => x.request)).toEqual([{ stored: 'bytes' }, 2])
  expect(s.attempts).toMatchObject([
    { provider: 'p', result: 'success', durationMs: 0 },
    { provider: 'p', result: 'success' },
  ])
  expect(s.delivery.health()).toMatchObject([{ provider: 'p', attempts: 2, failures: 0, in_flight: 0 }])
  expect(s.breakers.get('p')).toMatchObject({ stats: { fires: 2, successes: 2, failures: 0 } })
})

test('a breaker that was opened after the commit does not take back what the commit has recorded', async () => {
  const s = setUp({ p: { provider: log() } }, { p: 1 })
  await s.breakers.trip('p', { by: 'somebody' })
  expect(s.delivery.certain('p')).toBe(false)
  expect(await s.delivery.deliverCertain('p', 1)).toEqual(OK)
  expect(s.breakers.get('p')).toMatchObject({ state: 'open' })
})

test('one that fails all the same: no answer, counted and logged; a provider a reload took away: no answer', async () => {
  const s = setUp({ p: { provider: log([new Error('a fault')]) } })
  expect(await s.delivery.deliverCertain('p', 1)).toBeUndefined()
  expect(s.attempts).toMatchObject([{ result: 'permanent', code: 'provider_fault' }])
  expect(s.delivery.health()).toMatchObject([{ attempts: 1, failures: 1 }])
  expect(s.env.logged.map((l) => l.message)).toContain('a provider that cannot fail did')
  expect(await s.delivery.deliverCertain('gone', 1)).toBeUndefined()
})

test('a reload waits for it before the old providers are closed', async () => {
  const { promise, resolve } = Promise.withResolvers<typeof OK>()
  const s = setUp({ p: { provider: log([() => promise]) } })
  const sent = s.delivery.deliverCertain('p', 1)
  let drained = false
  const update = s.delivery.update(new Map()).then(() => {
    drained = true
  })
  await Promise.resolve()
  expect(drained).toBe(false)
  resolve(OK)
  await sent
  await update
  expect(drained).toBe(true)
})

test('one with nothing to wait for answers at once, and is counted alike', async () => {
  const now = (answer: () => typeof OK) => ({ ...log(), sendNow: answer })
  const s = setUp({ p: { provider: now(() => OK) } }, { p: 1 })
  expect(s.delivery.deliverCertain('p', 1)).toEqual(OK)
  expect(s.attempts).toMatchObject([{ provider: 'p', result: 'success' }])
  expect(s.breakers.get('p')).toMatchObject({ stats: { fires: 1, successes: 1, failures: 0 } })
  const faulty = setUp({
    p: {
      provider: now(() => {
        throw new Error('a fault')
      }),
    },
  })
  expect(faulty.delivery.deliverCertain('p', 1)).toBeUndefined()
  expect(faulty.attempts).toMatchObject([{ result: 'permanent', code: 'provider_fault' }])
  expect(faulty.env.logged.map((l) => l.message)).toContain('a provider that cannot fail did')
})

test('a whole delivery to one with nothing to wait for goes no way at all, unless it has to', async () => {
  const faults: Error[] = []
  const provider = {
    ...log(),
    sendNow: () => {
      const fault = faults.pop()
      if (fault) throw fault
      return OK
    },
  }
  const s = setUp({ p: { provider, maxConcurrent: 1 }, q: {} }, { p: 1 })
  expect(await s.start()).toEqual({
    kind: 'executed',
    provider: 'p',
    attempts: 1,
    guarantee: 'at_least_once',
    response: OK,
    fallback: false,
  })
  expect(s.attempts).toMatchObject([{ provider: 'p', result: 'success' }])
  expect(provider.sent).toEqual([])
  // It failed all the same: the way it did not go tries it once more.
  faults.push(new Error('a fault'))
  expect(await s.start()).toMatchObject({ kind: 'executed', attempts: 1 })
  expect(provider.sent).toHaveLength(1)
  // Nothing is sent after the deadline or without the claim, nor by a breaker that is open.
  expect(await s.start({ deadline: s.env.clock.now() })).toMatchObject({ kind: 'failed', code: 'deadline_exceeded' })
  await s.breakers.trip('p', { by: 'somebody' })
  expect(await s.start({ fallback: 'q' })).toMatchObject({ kind: 'executed', provider: 'q', fallback: true })
  await s.breakers.reset('p', { by: 'somebody' })
  s.lost.abort()
  expect(await s.start()).toEqual({ kind: 'lost' })
  expect(provider.sent).toHaveLength(1)
})
