/** `kill -9` while orders are everywhere on their way, and a gateway started anew on what it left. */
import type { Server } from '../children.ts'
import { endOf } from '../executions.ts'
import { nameOf, type Receiver } from '../receiver.ts'
import { say, until } from '../stage.ts'
import { holds, type Row, same, tally } from '../table.ts'
import { doneFor, openShop, orderOf, type Shop } from './shop.ts'

/** The call that is on its way when the process dies. `waiting` waits for its signal, `queued` for its customer's other order. */
const IN_FLIGHT = {
  reserving: ['stock', 'reserve'],
  paying: ['payment', 'charge'],
  shipping: ['courier', 'hand_over'],
  undoing: ['payment', 'refund'],
} as const
const DELAY_MS = 1500

const SHIPPED = 'courier book, courier hand_over, mailer order_on_its_way, packing book, payment charge, stock reserve'
const TAKEN_BACK =
  'courier book, courier cancel, packing book, packing free, payment charge, payment refund, stock release, stock reserve'
const EXPECTED: readonly (readonly [order: string, end: string, done: string])[] = [
  ['reserving', 'completed', SHIPPED],
  ['paying', 'completed', SHIPPED],
  ['waiting', 'completed', SHIPPED],
  ['queued', 'completed', SHIPPED],
  ['shipping', 'completed', SHIPPED],
  ['undoing', 'compensated', TAKEN_BACK],
]
export const COMPLETED = EXPECTED.filter(([, end]) => end === 'completed').map(([order]) => order)

async function setOut(shop: Shop, receiver: Receiver): Promise<void> {
  for (const [order, [name, type]] of Object.entries(IN_FLIGHT))
    await shop.tell(order, name, type, { delay_ms: DELAY_MS, times: 1 })
  await shop.place('waiting', 'kim')
  await shop.place('queued', 'kim')
  await shop.waits('waiting', 'confirmed')
  for (const order of ['shipping', 'undoing']) await shop.place(order)
  for (const order of ['shipping', 'undoing']) await shop.waits(order, 'confirmed')
  await Promise.all([
    shop.place('reserving'),
    shop.place('paying'),
    shop.script('confirm', 'shipping'),
    shop.script('cancel', 'undoing'),
  ])
  const arrived = async () =>
    (await receiver.calls()).filter((c) =>
      Object.entries(IN_FLIGHT).some(([order, name]) => order === orderOf(c) && name.join(' ') === nameOf(c)),
    )
  await until(arrived, (calls) => calls.length === Object.keys(IN_FLIGHT).length, DELAY_MS)
}

export async function crashRows(
  start: () => Promise<Server>,
  receiver: Receiver,
): Promise<{ readonly rows: readonly Row[]; readonly server: Server }> {
  const dying = await start()
  await setOut(openShop(`http://${dying.at}`, receiver), receiver)
  const before = (await receiver.calls()).length
  say('kill -9')
  await dying.kill()

  const server = await start()
  const shop = openShop(`http://${server.at}`, receiver)
  // `queued` is confirmed before it has begun: the signal is kept.
  for (const order of ['reserving', 'paying', 'waiting', 'queued']) await shop.script('confirm', order)
  const rows: Row[] = []
  for (const [order, end, done] of EXPECTED) {
    rows.push(same(`Killed while ${order}: ends`, end, endOf(await shop.ended(order))))
    rows.push(
      same(`Killed while ${order}: done, each once`, done, [...(await doneFor(receiver, order))].sort().join(', ')),
    )
  }
  const again = (await receiver.calls()).slice(before).filter((c) => c['effect'] === false)
  const expected = Object.values(IN_FLIGHT).map((name) => name.join(' '))
  rows.push(same('Sent again under their tokens', tally(expected), tally(again.map(nameOf))))
  return { rows, server }
}

/** Over all orders of the run. */
export async function accountRows(receiver: Receiver, completed: readonly string[]): Promise<readonly Row[]> {
  const calls = await receiver.calls()
  const effects = await receiver.effects()
  const names = effects.map((c) => `${nameOf(c)} ${orderOf(c)}`)
  const twice = names.filter((name, i) => names.indexOf(name) !== i)
  const moneyOf = (type: string) => effects.filter((c) => nameOf(c) === `payment ${type}`).length
  return [
    same('Done twice, of all orders', '', twice.join(', ')),
    same('Other bytes under a known token', 0, calls.filter((c) => c['conflict'] === true).length),
    holds(
      'Charged less given back',
      `${completed.length} orders`,
      `${moneyOf('charge')} - ${moneyOf('refund')}`,
      moneyOf('charge') - moneyOf('refund') === completed.length,
    ),
  ]
}
