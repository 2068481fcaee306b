/** The shop as the checks see it: its scripts, the gateway behind them, and what the receiver has done. */
import { join, resolve } from 'node:path'
import { type Api, at, openApi, type Row } from '../api.ts'
import { type Finished, runScript, type Variables } from '../children.ts'
import { hasEnded } from '../executions.ts'
import { nameOf, type Receiver } from '../receiver.ts'
import { plain, ROOT, until } from '../stage.ts'

export const EXAMPLE = resolve(ROOT, 'examples/order-saga')

/** The times of the file, shortened; what it says by default stays as it is. */
const SHORT = { RETRY_MS: '100' }
export const variables = (more: Variables): Variables => ({ ...plain(), ...SHORT, ...more })

const PATIENCE_MS = 15_000

export interface Shop {
  script(name: string, ...args: readonly string[]): Promise<Finished>
  /** Places an order and gives the outcome. */
  place(order: string, customer?: string, amount?: number): Promise<string>
  /** How the receiver is to answer calls for an order. */
  tell(order: string, receiver: string, action_type: string, how: object): Promise<void>
  /** The execution of an order with its steps, once it is as wanted, or as it is when patience ends. */
  execution(order: string, is: (execution: Row) => boolean): Promise<Row>
  ended(order: string): Promise<Row>
  /** At this step, with nothing to do but wait. */
  waits(order: string, step: string): Promise<Row>
  readonly gateway: Api
}

export function openShop(gatewayUrl: string, receiver: Receiver): Shop {
  const gateway = openApi(gatewayUrl)
  const env = variables({ SIGNALBOX_URL: gatewayUrl, RECEIVER_URL: receiver.url })
  const script: Shop['script'] = (name, ...args) => runScript(join(EXAMPLE, 'scripts', `${name}.sh`), args, env)

  async function look(order: string): Promise<Row> {
    const { chains } = await gateway.get(`/v1/chains?attribute=order:${order}`)
    const id = at(chains, 0, 'chain_id')
    return typeof id === 'string' ? gateway.get(`/v1/chains/${id}`) : {}
  }
  const execution: Shop['execution'] = (order, is) => until(() => look(order), is, PATIENCE_MS)
  return {
    gateway,
    script,
    async place(order, customer = `customer of ${order}`, amount = 40) {
      const { out } = await script('place-order', order, customer, String(amount))
      return /: (\w+)/.exec(out)?.[1] ?? out
    },
    async tell(order, name, action_type, how) {
      await receiver.api.post('/_receiver/answers', { receiver: name, action_type, where: { order_id: order }, ...how })
    },
    execution,
    ended: (order) => execution(order, hasEnded),
    waits: (order, step) => execution(order, (e) => e['status'] === 'waiting' && e['current_step'] === step),
  }
}

export const orderOf = (call: Row): unknown => at(call, 'payload', 'order_id')

/** What was done for an order, in the order it was done. */
export const doneFor = async (receiver: Receiver, order: string): Promise<readonly string[]> =>
  (await receiver.effects()).filter((c) => orderOf(c) === order).map(nameOf)
