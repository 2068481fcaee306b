import type { JsonObject } from '../../src/core/json.ts'
import { type GatewayGiven, type TestGateway, type Told, testGateway } from '../fakes/gateway.ts'
import { scriptedProvider } from '../fakes/provider.ts'
import { rule, rules, type } from './build.ts'

/** The text of a rule with a limit of its own. */
export const limited = (text: string, count: number, window = 'PT1M'): string =>
  `${text}    max_executions: { count: ${count}, window: ${window} }\n`

/** `a` goes to `other` by a rule; everything else to `out`. */
export const toOther = rule('to-other', 5, '{ type: reroute, target_provider: other }', type('a'))

export async function hotWorld(list: readonly string[], given: GatewayGiven = {}) {
  const out = scriptedProvider('out')
  const other = scriptedProvider('other')
  const g = await testGateway({ rules: rules(...list), providers: { out, other }, ...given })
  let n = 0
  const send = (action_type = 'a', action: JsonObject = {}, headers: Record<string, string> = {}): Promise<Told> =>
    g.dispatch({ action_type, provider: 'out', id: `${action_type}-${++n}`, ...action }, headers)
  const signed = g.signer.sign({ origin: 'run-0', passed: ['rule:before'], hops: 0 })
  /** As what a receiver of something the gateway sent would dispatch, which hands the lineage on. */
  const back = (action_type = 'a', action: JsonObject = {}): Promise<Told> =>
    send(action_type, action, { 'signalbox-lineage': signed })
  /** The outcomes of so many, one after the other. */
  async function times(count: number, one: () => Promise<Told>): Promise<readonly unknown[]> {
    const tags: unknown[] = []
    for (let i = 0; i < count; i++) tags.push((await one()).body['outcome'])
    return tags
  }
  const standing = async (name = 'to-other', query = ''): Promise<JsonObject> =>
    (await g.ask('GET', `/v1/rules/${name}${query}`)).body
  const switchTo = (enabled: boolean, more: JsonObject = {}, name = 'to-other'): Promise<Told> =>
    g.ask('PUT', `/v1/rules/${name}/enabled`, { enabled, ...more })
  return { g, out, other, send, back, times, standing, switchTo }
}
export type HotWorld = Awaited<ReturnType<typeof hotWorld>>

/** How often each outcome stands there. */
export const tally = (tags: readonly unknown[]): { readonly [tag: string]: number } => {
  const counts: { [tag: string]: number } = {}
  for (const tag of tags.map(String)) counts[tag] = (counts[tag] ?? 0) + 1
  return counts
}

/** Every document of a control topic, as the store has it. */
export const stored = (g: TestGateway, topic: string): Promise<readonly string[]> =>
  g.state.control(topic).then((c) => c.all().map((d) => d.value))
