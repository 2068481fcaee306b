/** Orders in every way they can go, on real processes, with a look at what was done for each. */
import { join } from 'node:path'
import { startReceiver } from '../receiver.ts'
import { say, serve } from '../stage.ts'
import { type Row, same } from '../table.ts'
import { accountRows, crashRows, COMPLETED as LATER } from './crash.ts'
import { orderRows, COMPLETED as SOONER } from './orders.ts'
import { EXAMPLE, openShop, variables } from './shop.ts'

/** `folder`: for what the gateways store. */
export async function run(folder: string): Promise<readonly Row[]> {
  const receiver = await startReceiver()
  // All on one store, as after any restart.
  const gateway = (confirmSeconds: number) =>
    serve(EXAMPLE, variables({ RECEIVER_URL: receiver.url, CONFIRM_SECONDS: String(confirmSeconds) }), [
      `state.path=${join(folder, 'orders.db')}`,
    ])

  say('orders')
  const first = await gateway(6)
  const rows = [...(await orderRows(openShop(`http://${first.at}`, receiver), receiver))]
  rows.push(same('This gateway ends with', 0, await first.stop()))

  say('orders on their way')
  const crash = await crashRows(() => gateway(60), receiver)
  rows.push(...crash.rows, ...(await accountRows(receiver, [...SOONER, ...LATER])))
  rows.push(same('The last gateway ends with', 0, await crash.server.stop()))
  await receiver.stop()
  return rows
}
