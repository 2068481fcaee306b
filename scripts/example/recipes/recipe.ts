/** One recipe at work: its gateway, and the services it calls, which it shares with the others. */
import { join, resolve } from 'node:path'
import { type Api, at, openApi, type Row } from '../api.ts'
import type { Variables } from '../children.ts'
import { nameOf, type Receiver } from '../receiver.ts'
import { plain, ROOT, serve, until } from '../stage.ts'

export const RECIPES = resolve(ROOT, 'examples/recipes')
const PATIENCE_MS = 15_000

export interface Recipe {
  readonly receiver: Receiver
  readonly gateway: Api
  /** Dispatches an action and gives the outcome. */
  send(action_type: string, payload: object): Promise<string>
  /** The newest execution of a chain with this attribute (`user:ann`), once it is as wanted, or as it is when patience ends. */
  execution(chain: string, attribute: string, is: (execution: Row) => boolean): Promise<Row>
  /** What was done for whom, once it is so much, or what it is when patience ends: `mailer welcome`, in the order it was done. */
  done(who: string, atLeast: number): Promise<readonly string[]>
  /** How the receiver is to answer calls about somebody. */
  tell(receiver: string, action_type: string, where: object, how: object): Promise<void>
  stop(): Promise<number | null>
}

export async function openRecipe(name: string, folder: string, receiver: Receiver, short: Variables): Promise<Recipe> {
  const env = { ...plain(), ...short, RECEIVER_URL: receiver.url }
  const server = await serve(join(RECIPES, name), env, [`state.path=${join(folder, `${name}.db`)}`])
  const gateway = openApi(`http://${server.at}`)

  async function look(chain: string, attribute: string): Promise<Row> {
    const { chains } = await gateway.get(`/v1/chains?chain_name=${chain}&attribute=${attribute}`)
    const id = at(chains, 0, 'chain_id')
    return typeof id === 'string' ? gateway.get(`/v1/chains/${id}`) : {}
  }
  return {
    receiver,
    gateway,
    async send(action_type, payload) {
      const response = await fetch(`http://${server.at}/v1/dispatch`, {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body: JSON.stringify({ action_type, payload }),
      })
      return String(((await response.json()) as Row)['outcome'])
    },
    execution: (chain, attribute, is) => until(() => look(chain, attribute), is, PATIENCE_MS),
    done: (who, atLeast) =>
      until(
        async () => (await receiver.effects()).filter((c) => isAbout(c, who)).map(nameOf),
        (names) => names.length >= atLeast,
        PATIENCE_MS,
      ),
    async tell(name, action_type, where, how) {
      await receiver.api.post('/_receiver/answers', { receiver: name, action_type, where, ...how })
    },
    stop: server.stop,
  }
}

/** Users are called by their ids, and by addresses that begin with them. */
const isAbout = ({ payload }: Row, who: string): boolean =>
  ['user_id', 'order_id', 'customer'].some((key) => at(payload, key) === who) ||
  String(at(payload, 'to') ?? at(payload, 'email')).startsWith(`${who}@`)
