import { expect, it } from 'vitest'
import type { AuditStore } from '../../../src/core/audit.ts'
import { createStreams, STREAM_LIMITS } from '../../../src/http/stream/streams.ts'
import { testEnv } from '../../fakes/env.ts'

const filter = { scope: undefined, columns: {} }
/** A trail in which nothing happens; looked at once `answers` has come. */
const still = (answers: Promise<void> = Promise.resolve()): Pick<AuditStore, 'follow'> => ({
  async follow() {
    await answers
    return { rows: [], next: 'p', more: false }
  },
})

it('a stream that is asked for while the gateway begins to stop is not begun', async () => {
  const { promise, resolve } = Promise.withResolvers<void>()
  const streams = createStreams(still(promise), testEnv())
  const asked = expect(streams.begin({ filter, after: undefined, cut: () => {} })).rejects.toMatchObject({
    status: 503,
    code: 'not_ready',
  })
  const closed = streams.close()
  resolve()
  await asked
  await closed
  expect(streams.open).toBe(0)
})

it('a client that never takes even the first words is cut off in the end', async () => {
  const env = testEnv()
  let cuts = 0
  const streams = createStreams(still(), env)
  await streams.begin({ filter, after: 'p', cut: () => cuts++ })
  await env.clock.advance(STREAM_LIMITS.stalledMs - 1)
  expect([streams.open, cuts]).toEqual([1, 0])
  await env.clock.advance(1)
  expect([streams.open, cuts]).toEqual([0, 1])
  await streams.close()
})
