import { setTimeout as sleep } from 'node:timers/promises'
import { at } from '../api.ts'
import { endOf, hasEnded } from '../executions.ts'
import { until } from '../stage.ts'
import { holds, type Row, same } from '../table.ts'
import type { Recipe } from './recipe.ts'

const CART_SECONDS = 3
export const short = { CART_SECONDS: String(CART_SECONDS) }

export async function play(recipe: Recipe): Promise<readonly Row[]> {
  const cart = (user_id: string, total: number) =>
    recipe.send('cart.updated', { user_id, email: `${user_id}@example.com`, total, items: ['teapot'] })
  const reminder = (user: string) => recipe.execution('cart-reminder', `user:${user}`, hasEnded)

  await recipe.tell('push', 'cart_reminder', { user_id: 'dee' }, { status: 404 })
  const began = Date.now()
  const first = await Promise.all(['ann', 'bob', 'cid', 'dee'].map((user) => cart(user, 60)))
  const ended = [
    await recipe.send('order.placed', { user_id: 'bob' }),
    await cart('cid', 30),
    await recipe.send('order.placed', { user_id: 'nobody' }),
  ]
  await sleep(1000)
  await cart('ann', 80)
  const again = Date.now()

  const ann = await reminder('ann')
  const dee = await reminder('dee')
  await cart('ann', 90)
  const once = await until(
    async () => (await recipe.gateway.get('/v1/audit?outcome=deduplicated'))['records'] as readonly object[],
    (records) => records.length > 0,
    10_000,
  )
  const [mail] = (await recipe.receiver.effects()).filter((c) => at(c, 'payload', 'to') === 'ann@example.com')
  const sentAt = Date.parse(String(mail?.['at']))
  return [
    same('Carts', 'scheduled, scheduled, scheduled, scheduled', first.join(', ')),
    same(
      'An order, a cart not worth it, an order without a cart',
      'suppressed, suppressed, suppressed',
      ended.join(', '),
    ),
    same('A cart left: reminded of', 80, at(mail, 'payload', 'total')),
    holds(
      'A cart left: reminded after the last change',
      `${CART_SECONDS} s`,
      `${Math.round((sentAt - again) / 100) / 10} s`,
      sentAt - again > CART_SECONDS * 1000 - 200 && sentAt - began > CART_SECONDS * 1000,
    ),
    same('A cart left: ends', 'completed', endOf(ann)),
    same(
      'A cart left: done',
      'mailer cart_reminder, push cart_reminder',
      [...(await recipe.done('ann', 2))].sort().join(', '),
    ),
    same('No app: ends', 'completed', endOf(dee)),
    same('No app: done', 'mailer cart_reminder', (await recipe.done('dee', 1)).join(', ')),
    same(
      'No app: dead letters',
      1,
      ((await recipe.gateway.get('/v1/dlq'))['dead_letters'] as readonly object[]).length,
    ),
    same('Another cart in the same week', 1, once.length),
    same('Ordered: done', '', (await recipe.done('bob', 0)).join(', ')),
    same('Not worth it any more: done', '', (await recipe.done('cid', 0)).join(', ')),
    same('Still held', 0, ((await recipe.gateway.get('/v1/scheduled'))['scheduled'] as readonly object[]).length),
  ]
}
