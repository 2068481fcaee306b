import fc from 'fast-check'
import { expect, test } from 'vitest'
import type { Json } from '../../src/core/json.ts'
import type { DeliveryEnd } from '../../src/delivery/delivery.ts'
import {
  badRequest,
  deaf,
  OK,
  receiver,
  refused,
  type Scripted,
  scriptedProvider,
  serverError,
  unavailable,
} from '../fakes/provider.ts'
import { setUp } from './set-up.ts'

const answers: Record<string, () => Scripted> = {
  ok: () => OK,
  refused,
  serverError,
  badRequest,
  busy: () => unavailable(1500),
  deaf: () => deaf,
  odd: () => new Error('odd'),
}
const script = fc.array(fc.constantFrom(...Object.keys(answers)), { minLength: 1, maxLength: 6 })
const scripted = (names: readonly string[]) => names.map((n) => answers[n]!())

test('property: whatever providers do, every delivery ends in time, nothing is sent late, and every slot is free again', async () => {
  await fc.assert(
    fc.asyncProperty(
      script,
      script,
      fc.record({
        maxRetries: fc.integer({ min: 0, max: 3 }),
        maxConcurrent: fc.integer({ min: 1, max: 2 }),
        threshold: fc.integer({ min: 1, max: 3 }),
        deadlineMs: fc.integer({ min: 1, max: 8000 }),
        deliveries: fc.integer({ min: 1, max: 5 }),
        apartMs: fc.integer({ min: 0, max: 900 }),
        stopAtMs: fc.option(fc.integer({ min: 0, max: 8000 })),
      }),
      async (pScript, qScript, c) => {
        const { maxRetries, maxConcurrent } = c
        const s = setUp(
          {
            p: { script: scripted(pScript), maxRetries, maxConcurrent, fallback: 'q' },
            q: { script: scripted(qScript), maxRetries, maxConcurrent },
          },
          { p: c.threshold, q: c.threshold },
        )
        if (c.stopAtMs !== null) s.clock.timer(c.stopAtMs, () => s.stopping.abort())
        const done: { end: DeliveryEnd; at: number; deadline: number; token: string }[] = []
        for (let i = 0; i < c.deliveries; i++) {
          const deadline = s.clock.now() + c.deadlineMs
          const token = `t${i}`
          void s.start({ deadline, token }).then((end) => done.push({ end, at: s.clock.now(), deadline, token }))
          await s.clock.advance(c.apartMs)
        }
        await s.clock.advance(c.deadlineMs + 1000)
        expect(done).toHaveLength(c.deliveries)
        const sent = [...s.p.sent, ...s.providers.q!.sent]
        for (const { end, at, deadline, token } of done) {
          expect(at).toBeLessThanOrEqual(deadline)
          const mine = sent.filter((x) => x.token === token).length
          expect('attempts' in end && end.attempts).toBe(mine)
          if (end.kind === 'failed' && end.unknown) expect(mine).toBeGreaterThan(0)
          if (end.kind === 'handed_back') expect(c.stopAtMs).not.toBeNull()
        }
        for (const h of s.delivery.health()) expect(h).toMatchObject({ in_flight: 0, waiting: 0 })
        expect(s.clock.pending).toBe(c.stopAtMs !== null && !s.stopping.signal.aborted ? 1 : 0)
      },
    ),
    { seed: 11, numRuns: 120 },
  )
})

test('PITFALLS 64: handed back and taken up again: each receiver sees one body under the token', async () => {
  const atP = receiver()
  const atQ = receiver()
  // A template that was edited between two starts: a second rendering would be another body.
  let edition = 0
  const render = (): Json => ({ edition: ++edition })
  const start = (p: Scripted, q: Scripted) =>
    setUp(
      { p: { script: [p], fallback: 'q' }, q: { provider: scriptedProvider('q', [q], { render }) } },
      { p: 3, q: 3 },
    )
  const stop = async (s: ReturnType<typeof setUp>, end: Promise<DeliveryEnd>) => {
    await s.clock.settle()
    s.stopping.abort()
    return end
  }
  const first = start(atP.accept(serverError()), OK)
  const request = { first: 'bytes' }
  expect(await stop(first, first.start({ request }))).toMatchObject({ kind: 'handed_back', provider: 'p' })

  const second = start(atP.accept(serverError()), atQ.accept(unavailable()))
  const falls = second.start({ request, unknown: true })
  while (second.stored.length === 0) await second.clock.advance(50)
  const back = await stop(second, falls)
  expect(back).toMatchObject({ kind: 'handed_back', provider: 'q', unknownElsewhere: true })

  const third = start(OK, atQ.accept())
  const [taken] = second.stored
  expect(await third.start({ ...taken! })).toMatchObject({
    kind: 'executed',
    provider: 'q',
    guarantee: 'at_least_once',
  })
  expect([...atP.effects]).toEqual([['token-1', { first: 'bytes' }]])
  expect([...atQ.effects]).toEqual([['token-1', { edition: 1 }]])
  expect([atP.taken, atQ.taken]).toEqual([4, 2])
})
