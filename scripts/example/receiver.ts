/** What stands in for the services an example calls, as a process of its own. */
import { join } from 'node:path'
import { type Api, openApi, type Row } from './api.ts'
import { startServer } from './children.ts'
import { plain, ROOT } from './stage.ts'

export interface Receiver {
  readonly url: string
  readonly api: Api
  /** Everything that came, in the order it came. */
  calls(): Promise<readonly Row[]>
  /** Of what came, what was done. */
  effects(): Promise<readonly Row[]>
  stop(): Promise<number | null>
}

export async function startReceiver(): Promise<Receiver> {
  const { at: url, stop } = await startServer([join(ROOT, 'scripts/receiver/main.ts')], { ...plain(), PORT: '0' })
  const api = openApi(url)
  const calls = async (): Promise<readonly Row[]> => (await api.get('/_receiver/calls'))['calls'] as readonly Row[]
  return { url, api, calls, stop, effects: async () => (await calls()).filter((c) => c['effect'] === true) }
}

/** `payment charge` */
export const nameOf = (call: Row): string => `${call['receiver']} ${call['action_type']}`
