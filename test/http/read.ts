import type { JsonObject } from '../../src/core/json.ts'
import type { TestGateway, Told } from '../fakes/gateway.ts'

export const items = (t: Told, name: string) => t.body[name] as readonly JsonObject[]

/** What was changed by hand, oldest first: the word for it and its details. */
export const admin = async (g: TestGateway) =>
  (await g.records('', '')).map((r) => [r.action_type, (r.details as JsonObject | undefined) ?? {}] as const)
