import { z } from 'zod'
import type { Provider } from '../core/provider.ts'
import { defineProvider } from '../core/provider.ts'
import { awsConfig } from './aws/config.ts'

export const awsS3 = defineProvider({
  type: 'aws-s3',
  verbs: ['put_object', 'get_object', 'delete_object'],
  config: awsConfig({ bucket_name: z.string().min(1), object_prefix: z.string().default('') }),
  open(name): Provider {
    throw new Error(`provider ${name}: being built`)
  },
})
