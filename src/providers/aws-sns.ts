import { z } from 'zod'
import type { Provider } from '../core/provider.ts'
import { defineProvider } from '../core/provider.ts'
import { awsConfig } from './aws/config.ts'

export const awsSns = defineProvider({
  type: 'aws-sns',
  verbs: ['publish'],
  config: awsConfig({ topic_arn: z.string().min(1) }),
  open(name): Provider {
    throw new Error(`provider ${name}: being built`)
  },
})
