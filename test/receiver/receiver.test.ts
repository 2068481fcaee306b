import { describe, expect, it } from 'vitest'
import { createReceiver, type Receiver, tellingSchema } from '../../scripts/receiver/receiver.ts'

const NOON = new Date('2026-01-31T12:00:00Z')
const open = () => createReceiver(() => NOON)
const charge = (order: string, amount = 5) =>
  JSON.stringify({ action_type: 'charge', payload: { order_id: order, amount } })
const send = (r: Receiver, token: string | undefined, text: string) => r.take({ receiver: 'payment', token, text })
const tell = (r: Receiver, telling: object) => r.tell(tellingSchema.parse({ receiver: 'payment', ...telling }))
const effects = (r: Receiver) => r.calls().filter((c) => c.effect).length

describe('the receiver', () => {
  it('keeps what came, and does it once for each token', () => {
    const r = open()
    expect(send(r, 'a', charge('o-1')).reply).toEqual({ status: 200, body: { id: 'payment-1' }, delayMs: 0 })
    expect(send(r, 'a', charge('o-1')).reply.body).toEqual({ id: 'payment-1' })
    expect(send(r, 'b', charge('o-1')).reply.body).toEqual({ id: 'payment-3' })
    expect(effects(r)).toBe(2)
    expect(r.calls()[0]).toEqual({
      n: 1,
      at: '2026-01-31T12:00:00.000Z',
      receiver: 'payment',
      action_type: 'charge',
      token: 'a',
      payload: { order_id: 'o-1', amount: 5 },
      status: 200,
      effect: true,
      conflict: false,
    })
  })
  it('does each call without a token, and takes what is no action, even no JSON', () => {
    const r = open()
    for (const text of ['{"x": 1}', '{"x": 1}', 'hello', '[1]']) send(r, undefined, text)
    expect(effects(r)).toBe(4)
    expect(r.calls().map((c) => c.payload)).toEqual([{ x: 1 }, { x: 1 }, { text: 'hello' }, {}])
  })
  it('refuses other bytes under a known token, also where the first did nothing', () => {
    const r = open()
    tell(r, { status: 503, times: 1 })
    expect(send(r, 'a', charge('o-1')).reply.status).toBe(503)
    expect(send(r, 'a', charge('o-1', 6))).toMatchObject({
      reply: { status: 409 },
      call: { conflict: true, effect: false },
    })
    expect(send(r, 'a', charge('o-1')).call).toMatchObject({ status: 200, effect: true, conflict: false })
  })
  it('keeps the tokens of one receiver from those of another', () => {
    const r = open()
    send(r, 'a', charge('o-1'))
    expect(r.take({ receiver: 'stock', token: 'a', text: 'x' }).call).toMatchObject({ effect: true, conflict: false })
  })
})

describe('told how to answer', () => {
  it('answers so to what fits, as often as it was told, the last one told first', () => {
    const r = open()
    tell(r, { where: { order_id: 'o-2' }, status: 402, body: { error: 'declined' }, times: 1 })
    tell(r, { action_type: 'refund', delay_ms: 50 })
    expect(send(r, 'a', charge('o-1')).reply.status).toBe(200)
    expect(send(r, 'b', charge('o-2')).reply).toEqual({ status: 402, body: { error: 'declined' }, delayMs: 0 })
    expect(r.tellings().map((t) => t.times)).toEqual([0, undefined])
    expect(send(r, 'b', charge('o-2')).call).toMatchObject({ status: 200, effect: true })
    tell(r, { status: 500 })
    tell(r, { status: 503, times: 1 })
    expect([1, 2, 3].map((n) => send(r, `c${n}`, charge('o-3')).reply.status)).toEqual([503, 500, 500])
    r.forget('answers')
    expect(send(r, 'c1', charge('o-3')).reply.status).toBe(200)
  })
  it('may do it and say that it failed: a repetition finds it done', () => {
    const r = open()
    tell(r, { status: 504, effect: true, times: 1 })
    expect(send(r, 'a', charge('o-1')).call).toMatchObject({ status: 504, effect: true })
    expect(send(r, 'a', charge('o-1'))).toMatchObject({
      call: { status: 200, effect: false },
      reply: { body: { id: 'payment-1' } },
    })
  })
  it('gives the first answer again, whatever it was told since', () => {
    const r = open()
    tell(r, { body: { id: 'mine' } })
    send(r, 'a', charge('o-1'))
    tell(r, { body: { id: 'other' } })
    expect(send(r, 'a', charge('o-1')).reply.body).toEqual({ id: 'mine' })
  })
  it('forgets calls with their tokens', () => {
    const r = open()
    send(r, 'a', charge('o-1'))
    r.forget('calls')
    expect(r.calls()).toEqual([])
    expect(send(r, 'a', charge('o-9')).call).toMatchObject({ n: 1, effect: true, conflict: false })
  })
})
