import { z } from 'zod'
import type { Provider } from '../core/provider.ts'
import { defineProvider } from '../core/provider.ts'
import { awsConfig } from './aws/config.ts'

export const awsSqs = defineProvider({
  type: 'aws-sqs',
  verbs: ['send_message'],
  config: awsConfig({ queue_url: z.url({ protocol: /^https?$/ }) }),
  open(name): Provider {
    throw new Error(`provider ${name}: being built`)
  },
})
