import { expect, it } from 'vitest'
import { StateUnavailable } from '../../src/core/errors.ts'
import type { Op } from '../../src/core/state.ts'
import type { Answer } from '../../src/state/batching.ts'
import { openLanes } from '../../src/state/dynamodb/lanes.ts'

const ops = Array.from({ length: 60 }, (_, i): Op => ({ op: 'wake', kind: 'k', id: String(i) }))

it('who has waited out his patience behind others is refused, and nothing of his is sent', async () => {
  let now = 0
  const sent: string[] = []
  const lanes = openLanes(
    async (scope, calls): Promise<readonly Answer[]> => {
      sent.push(scope)
      now += 10_000 // a table that does not answer takes all the time a call has
      return calls.map(() => [1, 'no answer in time'])
    },
    () => {
      const until = now + 10_000
      return {
        get over() {
          return now >= until
        },
      }
    },
  )
  // Each is as large as a batch may be, so that they go one after another.
  const waiting = Array.from({ length: 200 }, () => lanes.commit('silent', ops, false))
  const ends = await Promise.allSettled(waiting)
  expect(sent).toEqual(['silent'])
  for (const end of ends) expect(end).toMatchObject({ status: 'rejected', reason: expect.any(StateUnavailable) })
  // Whoever comes then has his own time.
  await expect(lanes.commit('silent', ops, false)).rejects.toThrow('no answer in time')
  expect(sent).toEqual(['silent', 'silent'])
  await lanes.close()
})
