import { z } from 'zod'
import type { Json, JsonObject } from '../core/json.ts'
import { defineProvider, type Receipt } from '../core/provider.ts'
import { stored } from './wire/data.ts'

/** Writes the action to the gateway's log (whose redaction covers it). Nothing leaves the machine, so nothing is stored first. */
export const log = defineProvider({
  type: 'log',
  verbs: [],
  config: z.strictObject({}),
  open(name, _config, env) {
    const sendNow = (request: Json): Receipt => {
      env.log.info({ provider: name, ...stored<JsonObject>(request) }, 'action')
      return { status: 200, body: { provider: name, logged: true } }
    }
    return {
      name,
      type: 'log',
      hasEffect: false,
      render: (action) => ({
        action_id: action.id,
        action_type: action.action_type,
        namespace: action.namespace,
        tenant: action.tenant,
        payload: action.payload,
      }),
      dedupWindowMs: () => 0,
      send: async (request) => sendNow(request),
      sendNow,
      check: async () => {},
      close: async () => {},
    }
  },
})
