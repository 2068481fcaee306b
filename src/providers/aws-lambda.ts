import { z } from 'zod'
import type { Provider } from '../core/provider.ts'
import { defineProvider } from '../core/provider.ts'
import { awsConfig } from './aws/config.ts'

export const awsLambda = defineProvider({
  type: 'aws-lambda',
  verbs: ['invoke'],
  config: awsConfig({
    function_name: z.string().min(1),
    qualifier: z.string().min(1).optional(),
    invocation_type: z.enum(['RequestResponse', 'Event', 'DryRun']).default('RequestResponse'),
    response: z.enum(['raw', 'proxy']).default('raw'),
  }),
  open(name): Provider {
    throw new Error(`provider ${name}: being built`)
  },
})
