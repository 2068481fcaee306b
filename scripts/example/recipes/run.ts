/** Each recipe on a gateway of its own, all beside each other, calling one receiver. */
import { startReceiver } from '../receiver.ts'
import { say } from '../stage.ts'
import { type Row, same } from '../table.ts'
import * as abandonedCart from './abandoned-cart.ts'
import * as onboarding from './onboarding.ts'
import * as orderFlow from './order-flow.ts'
import { openRecipe, type Recipe } from './recipe.ts'
import * as winBack from './win-back.ts'

/** Its times shortened through the variables its files name, and what is to be seen. */
interface Play {
  readonly short: { readonly [variable: string]: string }
  play(recipe: Recipe): Promise<readonly Row[]>
}
export const recipes: { readonly [folder: string]: Play } = {
  'abandoned-cart': abandonedCart,
  onboarding,
  'win-back': winBack,
  'order-flow': orderFlow,
}

/** `folder`: for what the gateways store. */
export async function run(folder: string): Promise<readonly Row[]> {
  const receiver = await startReceiver()
  const rows = await Promise.all(
    Object.entries(recipes).map(async ([name, { short, play }]) => {
      say(name)
      const recipe = await openRecipe(name, folder, receiver, short)
      const seen = await play(recipe)
      const all = [...seen, same('The gateway ends with', 0, await recipe.stop())]
      return all.map((row) => ({ ...row, what: `${name}: ${row.what}` }))
    }),
  )
  const wrong = (await receiver.calls()).filter((c) => c['conflict'] === true)
  await receiver.stop()
  return [...rows.flat(), same('Other bytes under a known token', 0, wrong.length)]
}
