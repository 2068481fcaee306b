/** Each way an order can go, by itself: they are played beside each other, by different customers. */
import { at } from '../api.ts'
import { endOf, stepOf } from '../executions.ts'
import type { Receiver } from '../receiver.ts'
import { type Row, same } from '../table.ts'
import { doneFor, type Shop } from './shop.ts'

type Play = (shop: Shop, receiver: Receiver) => Promise<readonly Row[]>

const RESERVED = ['courier book', 'packing book', 'stock reserve']
const PAID = [...RESERVED, 'payment charge']
const SHIPPED = [...PAID, 'courier hand_over', 'mailer order_on_its_way']
const GIVEN_BACK = ['packing free', 'courier cancel', 'stock release']
const listed = (names: readonly string[]): string => names.join(', ')
const anyOrder = (names: readonly string[]): string => listed([...names].sort())
/** In the order it was done, but for the reservations, which set out at once. */
const inOrder = (names: readonly string[]): string =>
  listed([...names.slice(0, RESERVED.length).sort(), ...names.slice(RESERVED.length)])

/** Reservations of an order end one after another, so that there is one order to take them back in. */
async function inTurn(shop: Shop, order: string): Promise<void> {
  await shop.tell(order, 'courier', 'book', { delay_ms: 200 })
  await shop.tell(order, 'packing', 'book', { delay_ms: 400 })
}
const confirmed = async (shop: Shop, order: string): Promise<void> => {
  await shop.waits(order, 'confirmed')
  await shop.script('confirm', order)
}

const happy: Play = async (shop, receiver) => {
  const answers = [await shop.place('happy', 'ann'), await shop.place('happy', 'ann'), await shop.place('next', 'ann')]
  const waiting = await shop.waits('happy', 'confirmed')
  const next = await shop.execution('next', (e) => e['status'] === 'pending')
  await shop.script('confirm', 'happy')
  const end = await shop.ended('happy')
  await confirmed(shop, 'next')
  const after = await shop.ended('next')
  const { code } = await shop.script('show', 'happy')
  return [
    same('Placed, placed again, another', 'chain_started, deduplicated, chain_started', listed(answers)),
    same('Happy: waits for', 'confirmed', stepOf(waiting, 'confirmed')?.['waits_for_signal']),
    same('Next of the same customer: waits for', 'pending: lock', `${next['status']}: ${next['waiting_for']}`),
    same('Happy: ends', 'completed', endOf(end)),
    same('Happy: the card is hidden', '[REDACTED]', at(stepOf(end, 'pay'), 'input', 'card')),
    same('Happy: done', anyOrder(SHIPPED), anyOrder(await doneFor(receiver, 'happy'))),
    same('Next: ends', 'completed', endOf(after)),
    same(
      'Next: begins after the end of the first',
      true,
      String(stepOf(after, 'reserve')?.['started_at']) >= String(end['ended_at']),
    ),
    same('show.sh ends with', 0, code),
  ]
}

const declined: Play = async (shop, receiver) => {
  await inTurn(shop, 'declined')
  await shop.script('tell', 'payment', 'charge', '402', 'declined')
  await shop.place('declined')
  const end = await shop.ended('declined')
  return [
    same('Declined: ends', 'compensated: rejected', endOf(end)),
    same('Declined: attempts to charge', 1, stepOf(end, 'pay')?.['attempts']),
    same(
      'Declined: done and undone',
      listed([...RESERVED, ...GIVEN_BACK]),
      inOrder(await doneFor(receiver, 'declined')),
    ),
  ]
}

const silent: Play = async (shop, receiver) => {
  await inTurn(shop, 'silent')
  await shop.place('silent')
  const end = await shop.ended('silent')
  return [
    same('No confirmation: ends', 'compensated: signal_timeout', endOf(end)),
    same(
      'No confirmation: done and undone',
      listed([...PAID, 'payment refund', ...GIVEN_BACK]),
      inOrder(await doneFor(receiver, 'silent')),
    ),
  ]
}

const cancelled: Play = async (shop, receiver) => {
  await inTurn(shop, 'cancelled')
  await shop.place('cancelled')
  await shop.waits('cancelled', 'confirmed')
  await shop.script('cancel', 'cancelled')
  const end = await shop.ended('cancelled')
  const { code, out } = await shop.script('confirm', 'cancelled')
  return [
    same('Cancelled by hand: ends', 'compensated', endOf(end)),
    same(
      'Cancelled by hand: done and undone',
      listed([...PAID, 'payment refund', ...GIVEN_BACK]),
      inOrder(await doneFor(receiver, 'cancelled')),
    ),
    same(
      'Cancelled by hand: a late confirmation',
      '1 cancelled: 409 the execution has ended: compensated',
      `${code} ${out.trim()}`,
    ),
  ]
}

const early: Play = async (shop, receiver) => {
  await shop.tell('early', 'payment', 'charge', { delay_ms: 600 })
  await shop.place('early')
  await shop.script('confirm', 'early')
  const end = await shop.ended('early')
  return [
    same('Confirmed before it was paid: ends', 'completed', endOf(end)),
    same(
      'Confirmed before it was paid: handed over',
      'parcel of early',
      at(stepOf(end, 'hand-over'), 'input', 'parcel'),
    ),
    same('Confirmed before it was paid: done', anyOrder(SHIPPED), anyOrder(await doneFor(receiver, 'early'))),
  ]
}

const retried: Play = async (shop, receiver) => {
  await shop.tell('retried', 'stock', 'reserve', { status: 503, times: 2 })
  await shop.place('retried')
  await confirmed(shop, 'retried')
  const end = await shop.ended('retried')
  return [
    same('Stock is away twice: ends', 'completed', endOf(end)),
    same('Stock is away twice: attempts', 3, stepOf(end, 'reserve.stock')?.['attempts']),
    same('Stock is away twice: done', anyOrder(SHIPPED), anyOrder(await doneFor(receiver, 'retried'))),
  ]
}

const unknown: Play = async (shop, receiver) => {
  await inTurn(shop, 'unknown')
  await shop.tell('unknown', 'payment', 'charge', { status: 504, effect: true })
  await shop.place('unknown')
  const end = await shop.ended('unknown')
  const done = await doneFor(receiver, 'unknown')
  return [
    same('Charged, and nobody told: ends', 'compensated: server_error', endOf(end)),
    same('Charged, and nobody told: attempts', 3, stepOf(end, 'pay')?.['attempts']),
    same('Charged, and nobody told: given back', listed([...PAID, 'payment refund', ...GIVEN_BACK]), inOrder(done)),
  ]
}

const unmailed: Play = async (shop, receiver) => {
  await shop.tell('unmailed', 'mailer', 'order_on_its_way', { status: 422, times: 1 })
  await shop.place('unmailed')
  await confirmed(shop, 'unmailed')
  const end = await shop.ended('unmailed')
  const letters = (await shop.gateway.get('/v1/dlq?provider=mailer'))['dead_letters'] as readonly object[]
  await shop.gateway.post(`/v1/dlq/${at(letters, 0, 'id')}/redrive`)
  const after = await shop.execution('unmailed', (e) => e['status'] === 'completed')
  return [
    same('No mail: ends', 'partially_completed', endOf(end)),
    same('No mail: dead letters', 1, letters.length),
    same('No mail: redriven, ends', 'completed', endOf(after)),
    same('No mail: done', anyOrder(SHIPPED), anyOrder(await doneFor(receiver, 'unmailed'))),
  ]
}

const free: Play = async (shop) => [same('Nothing to pay', 'denied', await shop.place('free', 'zoe', 0))]

const plays: readonly Play[] = [happy, declined, silent, cancelled, early, retried, unknown, unmailed, free]
/** Of the orders that were completed, as they are named above. */
export const COMPLETED = ['happy', 'next', 'early', 'retried', 'unmailed']

export async function orderRows(shop: Shop, receiver: Receiver): Promise<readonly Row[]> {
  return (await Promise.all(plays.map((play) => play(shop, receiver)))).flat()
}
