import { z } from 'zod'
import type { JsonObject } from '../core/json.ts'
import { defineProvider } from '../core/provider.ts'
import { stored } from './wire/data.ts'

/** Writes the action to the gateway's log (whose redaction covers it). Nothing leaves the machine, so nothing is stored first. */
export const log = defineProvider({
  type: 'log',
  verbs: [],
  config: z.strictObject({}),
  open: (name, _config, env) => ({
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
    async send(request) {
      env.log.info({ provider: name, ...stored<JsonObject>(request) }, 'action')
      return { status: 200, body: { provider: name, logged: true } }
    },
    check: async () => {},
    close: async () => {},
  }),
})
