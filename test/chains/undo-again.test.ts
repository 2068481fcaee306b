import { describe, expect, it } from 'vitest'
import { kinds } from '../../src/core/hold.ts'
import { deleteDeadLetter } from '../../src/delivery/dead-letters.ts'
import { badRequest, OK, serverError } from '../fakes/provider.ts'
import { at, letters, line, scope, start, step, stepsOf, world } from './set-up.ts'

const paid = step('pay', 'bank', { compensate: { provider: 'bank', action_type: 'refund' } })
const booked = step('book', 'hotel', { compensate: { provider: 'hotel', action_type: 'release' } })

async function halfUndone(refunds: Parameters<typeof world>[1][string]['script'] & object) {
  const w = await world([line(paid, booked, step('ship', 'post'))], {
    bank: { script: refunds },
    hotel: {},
    post: { script: [badRequest()] },
  })
  const chains = await w.node()
  const id = await start(w, chains, w.memory.state, 'line')
  await w.env.clock.settle()
  expect(await chains.get(scope, id)).toMatchObject({
    status: 'failed',
    error: { code: 'compensation_failed' },
    compensated: 1,
    not_compensated: 1,
  })
  const letter = (await letters(w)).find((l) => l.origin.undo)!
  const failed = { scope, chainId: id, step: 'pay', iteration: 0, undo: true }
  return { w, chains, id, letter, failed }
}

describe('what could not be undone, redriven', () => {
  it('is undone under another token, alone; the execution is then compensated, and the letter is gone', async () => {
    const { w, chains, id, letter, failed } = await halfUndone([OK, badRequest(), OK])
    const before = w.providers['hotel']!.sent.length
    await chains.resumeFromDeadLetter(failed, deleteDeadLetter(letter))
    await w.env.clock.settle()
    const view = await chains.get(scope, id)
    expect(view).toMatchObject({ status: 'compensated', compensated: 2, resumed: 1 })
    expect(at(view, 'not_compensated')).toBe(0)
    expect(stepsOf(view)['pay']).toMatchObject({ compensated: true })
    const [charge, refused, refund] = w.providers['bank']!.sent
    expect(new Set([charge!.token, refused!.token, refund!.token]).size).toBe(3)
    expect(w.providers['hotel']!.sent).toHaveLength(before)
    expect((await letters(w)).filter((l) => l.origin.undo)).toEqual([])
    await expect(chains.resumeFromDeadLetter(failed, [])).rejects.toMatchObject({ code: 'chain_moved_on' })
  })

  it('may fail again, with a letter of its own, and be redriven again', async () => {
    const { w, chains, id, letter, failed } = await halfUndone([OK, badRequest(), badRequest(), OK])
    await chains.resumeFromDeadLetter(failed, deleteDeadLetter(letter))
    await w.env.clock.settle()
    expect(await chains.get(scope, id)).toMatchObject({ status: 'failed', not_compensated: 1 })
    const again = (await letters(w)).filter((l) => l.origin.undo)
    expect(again.map((l) => l.id)).not.toContain(letter.id)
    expect(again).toHaveLength(1)
    await chains.resumeFromDeadLetter(failed, deleteDeadLetter(again[0]!))
    await w.env.clock.settle()
    expect(await chains.get(scope, id)).toMatchObject({ status: 'compensated', resumed: 2 })
    expect((await w.memory.state.list(kinds.inbox, scope, { limit: 10 })).entries).toEqual([])
  })

  it('has as much time as any undoing, however short that of the execution was', async () => {
    const w = await world([{ ...line(paid, step('ship', 'post')), timeout_seconds: 2 }], {
      bank: { script: [OK, badRequest(), serverError(), OK] },
      post: { script: [badRequest()] },
    })
    const chains = await w.node()
    const id = await start(w, chains, w.memory.state, 'line')
    await w.env.clock.settle()
    const letter = (await letters(w)).find((l) => l.origin.undo)!
    w.env.random.float = () => 0.999
    const failed = { scope, chainId: id, step: 'pay', iteration: 0, undo: true }
    await chains.resumeFromDeadLetter(failed, deleteDeadLetter(letter))
    await w.env.clock.settle()
    expect(await chains.get(scope, id)).toMatchObject({ status: 'compensating' })
    const left = Date.parse(String(at(await chains.get(scope, id), 'expires_at'))) - w.env.clock.now()
    expect(left).toBe(300_000)
    await w.env.clock.advance(60_000)
    expect(await chains.get(scope, id)).toMatchObject({ status: 'compensated' })
  })

  it('the letter of the step itself brings nothing back: what was done has been undone', async () => {
    const { w, chains, id } = await halfUndone([OK, badRequest(), OK])
    const own = (await letters(w)).find((l) => !l.origin.undo)!
    expect(own.origin).toMatchObject({ chain_id: id, step: 'ship' })
    await expect(
      chains.resumeFromDeadLetter({ scope, chainId: id, step: 'ship', iteration: 0 }, []),
    ).rejects.toMatchObject({ code: 'chain_compensated' })
  })
})
