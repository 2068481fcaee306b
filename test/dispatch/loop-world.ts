import type { JsonObject } from '../../src/core/json.ts'
import type { Lineage } from '../../src/core/lineage.ts'
import { type GatewayGiven, type TestGateway, type Told, testGateway } from '../fakes/gateway.ts'
import { OK, type Scripted, type ScriptedProvider, type Sent, scriptedProvider } from '../fakes/provider.ts'
import { rules } from './build.ts'

/** What a provider of these tests sends: the action, and the lineage as it left. */
export interface Left {
  readonly action_type: string
  readonly id: string
  readonly payload: JsonObject
  readonly lineage: string
}
export const left = (s: Sent | undefined): Left => s!.request as unknown as Left

/** A provider whose request carries the lineage, as the real ones do. */
export const carrying = (name: string, script: readonly Scripted[] = [OK]): ScriptedProvider =>
  scriptedProvider(name, script, {
    render: ({ action_type, id, payload }, _token, lineage) => ({ action_type, id, payload, lineage: lineage ?? null }),
  })

/** A gateway with two ways out that carry the lineage, and what it answers those that come back. */
export async function loopWorld(
  list: readonly string[],
  given: GatewayGiven & { readonly script?: readonly Scripted[] } = {},
) {
  const { script, ...more } = given
  const hook = carrying('hook', script)
  const other = carrying('other')
  const g = await testGateway({
    rules: rules(...list),
    providers: { hook, other },
    loops: true,
    ...more,
    toml: `[executor]\nmax_retries = 0\n${more.toml ?? ''}`,
  })
  const send = (action_type: string, action: JsonObject = {}, headers = {}): Promise<Told> =>
    g.dispatch({ action_type, provider: 'hook', payload: { k: 1 }, ...action }, headers)
  /** Dispatches as a receiver of `sent` would that hands the lineage on. */
  const back = (sent: Sent | undefined, action_type: string, action: JsonObject = {}): Promise<Told> =>
    send(action_type, action, { 'signalbox-lineage': left(sent).lineage })
  const lineageOf = (sent: Sent | undefined): Lineage => g.signer.read(left(sent).lineage)!
  return { g, hook, other, send, back, lineageOf }
}

/** Kind, outcome and cycle of each audit record of the scope. */
export const ended = async (g: TestGateway): Promise<readonly unknown[]> =>
  (await g.records()).map((r) => {
    const cycle = (r['details'] as JsonObject | undefined)?.['cycle']
    return cycle === undefined ? [r['kind'], r['outcome']] : [r['kind'], r['outcome'], cycle]
  })
