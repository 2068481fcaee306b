import { z } from 'zod'
import type { Provider } from '../core/provider.ts'
import { defineProvider } from '../core/provider.ts'
import { awsConfig } from './aws/config.ts'

export const awsEventbridge = defineProvider({
  type: 'aws-eventbridge',
  verbs: ['put_event'],
  config: awsConfig({
    event_bus_name: z.string().min(1),
    source: z.string().min(1).optional(),
    detail_type: z.string().min(1).optional(),
  }),
  open(name): Provider {
    throw new Error(`provider ${name}: being built`)
  },
})
