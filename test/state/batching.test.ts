import { expect, it } from 'vitest'
import { StateTooLarge, StateUnavailable, StateUnknown } from '../../src/core/errors.ts'
import type { Op } from '../../src/core/state.ts'
import { type Answer, batching, nextTurn } from '../../src/state/batching.ts'
import { charsOf } from '../../src/state/chars.ts'
import { commitsOver } from '../../src/state/postgres/commits.ts'
import { plainRow } from '../fakes/audit-row.ts'

it('a batch ends by its size too, in the order of the calls; what is larger by itself goes by itself', async () => {
  const runs: number[][] = []
  const channel = batching<number>(
    {
      async run(batch): Promise<readonly Answer[]> {
        runs.push([...batch])
        return batch.map((call) => [0, call])
      },
      close: async () => {},
    },
    nextTurn(queueMicrotask),
    StateUnknown,
    (millions) => millions * 1_000_000,
  )
  const calls = [6, 6, 6, 40, 1, 1, 15, 1]
  expect(await Promise.all(calls.map((c) => channel.call(c)))).toEqual(calls)
  expect(runs).toEqual([[6, 6], [6], [40], [1, 1], [15, 1]])
  await channel.close()
})

it('each call is told its own end: done, nothing done, maybe done, never to be done; and maybe done where no answer came', async () => {
  const ends: readonly Answer[] = [
    [0, 'value'],
    [1, 'away'],
    [2, 'lost'],
    [3, 'large'],
  ]
  const channel = batching<number>(
    { run: async () => ends, close: async () => {} },
    nextTurn(queueMicrotask),
    StateUnknown,
  )
  const told = await Promise.all(
    [0, 1, 2, 3, 4].map((n) => channel.call(n).catch((e: Error) => [e.constructor, e.message])),
  )
  expect(told).toEqual([
    'value',
    [StateUnavailable, 'away'],
    [StateUnknown, 'lost'],
    [StateTooLarge, 'large'],
    [StateUnknown, 'no answer'],
  ])
  await channel.close()
})

it('a commit is as large as the texts it carries', () => {
  const put: Op = { op: 'put', kind: 'k', id: 'i', value: 'four', version: 'v' }
  const record: Op = { op: 'record', row: { ...plainRow('r', ['a', 'b']), json: '{"a":1}' } }
  expect(charsOf([put, record, { op: 'wake', kind: 'k', id: 'i' }])).toBe(11)
})

it('PostgreSQL: a commit that cannot travel is refused, and takes neither its neighbours nor the store with it', async () => {
  let asked = 0
  const commits = commitsOver(
    async () => {
      asked++
      throw new StateUnavailable('it is away')
    },
    's',
    { now: () => 1, servers: false },
    () => {},
  )
  const sound: Op = { op: 'wake', kind: 'k', id: 'i' }
  // JSON has no such number: it stands for a text that is too long for one.
  const faulty: Op = { op: 'count', id: 'c', by: 1n as unknown as number, expiresAt: 2 }
  const answers = await commits.run([
    ['a', [sound], false],
    ['a', [faulty], false],
    ['a', [sound], false],
  ])
  expect(answers).toEqual([
    [1, 'it is away'],
    [1, expect.stringContaining('BigInt')],
    [1, 'it is away'],
  ])
  expect(asked).toBe(2)
})
