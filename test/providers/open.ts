import type { Action } from '../../src/core/action.ts'
import type { Env } from '../../src/core/env.ts'
import { deliveryToken } from '../../src/core/ids.ts'
import type { JsonObject } from '../../src/core/json.ts'
import type { Provider } from '../../src/core/provider.ts'
import { providerTypes } from '../../src/providers/index.ts'

/** As the gateway does it: the type's own schema, then open. */
export function openProvider(type: string, config: JsonObject, env: Env, name = `my-${type}`): Provider {
  const t = providerTypes.find((p) => p.type === type)
  if (t === undefined) throw new Error(`no provider type ${type}`)
  return t.open(name, t.config.parse(config), env)
}
export function configErrors(type: string, config: JsonObject): readonly string[] {
  const t = providerTypes.find((p) => p.type === type)
  const parsed = t?.config.safeParse(config)
  return parsed?.error?.issues.map((i) => `${i.path.join('.')}: ${i.message}`) ?? []
}

export const anAction = (over: Partial<Action> = {}): Action => ({
  id: 'a-1',
  namespace: 'iot',
  tenant: 'hq',
  action_type: 'sensor_reading',
  payload: { device_id: 'd-1', value: 91.5, note: 'ä "quoted" {{payload.value}}' },
  metadata: { zone: 'north' },
  created_at: '2026-01-05T12:00:00.000Z',
  ...over,
})
export const TOKEN = deliveryToken('run-1')
export const never = (): AbortSignal => new AbortController().signal
