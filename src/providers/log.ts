import { z } from 'zod'
import type { Provider } from '../core/provider.ts'
import { defineProvider } from '../core/provider.ts'

export const log = defineProvider({
  type: 'log',
  verbs: [],
  config: z.strictObject({}),
  open(name): Provider {
    throw new Error(`provider ${name}: being built`)
  },
})
