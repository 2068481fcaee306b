import { at } from '../api.ts'
import { endOf, hasEnded, stepOf } from '../executions.ts'
import { type Row, same } from '../table.ts'
import type { Recipe } from './recipe.ts'

export const short = {}

export async function play(recipe: Recipe): Promise<readonly Row[]> {
  const submit = (order_id: string, customer: string, amount: number) =>
    recipe.send('order.submitted', { order_id, customer, amount, email: `${customer}@example.com` })
  const pay = (order_id: string, amount: number) =>
    recipe.send('payment.received', { order_id, amount, manager: 'max@example.com' })
  const intake = (order: string) => recipe.execution('order-intake', `order:${order}`, hasEnded)

  await recipe.tell('records', 'look_up', { customer: 'uma' }, { body: { manager: 'max@example.com' } })
  const answers = [
    await submit('f-1', 'tom', 120),
    await submit('f-2', 'uma', 12_000.5),
    await submit('f-2', 'uma', 12_000.5),
    await submit('f-3', 'vic', 0),
    await pay('f-1', 120),
    await pay('f-1', 120),
  ]
  const [small, large] = [await intake('f-1'), await intake('f-2')]
  const paid = await recipe.execution('payment-intake', 'order:f-1', hasEnded)
  const ofOrder = (await recipe.receiver.effects()).filter((c) => at(c, 'payload', 'order_id') === 'f-1')
  const statuses = ofOrder.flatMap((c) => at(c, 'payload', 'status') ?? [])
  const began = ['contract', 'notice', 'close'].map((name) => String(stepOf(paid, name)?.['started_at']))
  return [
    same(
      'Answers',
      'chain_started, chain_started, deduplicated, denied, chain_started, deduplicated',
      answers.join(', '),
    ),
    same('A small order: ends', 'completed', endOf(small)),
    same('A small order: the manager is told', 'skipped', stepOf(small, 'tell-manager')?.['status']),
    same(
      'A small order: what the rules made of "accepted"',
      'rerouted',
      at(stepOf(small, 'accepted'), 'output', 'body', 'outcome'),
    ),
    same(
      'A small order: the customer is mailed',
      'mailer order.accepted',
      (await recipe.done('tom', 2)).filter((n) => n.startsWith('mailer')).join(', '),
    ),
    same('A large order: ends', 'completed', endOf(large)),
    same(
      'A large order: the manager is told',
      'uma has ordered for 12000.5 €',
      at(stepOf(large, 'tell-manager'), 'input', 'text'),
    ),
    same('Payment: ends', 'completed', endOf(paid)),
    same('Payment: contract and notice at once', true, began[0] === began[1] && began[0]! < began[2]!),
    same('Payment: the record of the order', 'accepted, closed, paid', statuses.map(String).sort().join(', ')),
    same('Payment: the manager is told', '120 € for order f-1', at(stepOf(paid, 'notice'), 'input', 'text')),
  ]
}
