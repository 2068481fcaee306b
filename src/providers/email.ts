import { z } from 'zod'
import type { Provider } from '../core/provider.ts'
import { defineProvider } from '../core/provider.ts'
import { awsKeys, checkAws } from './aws/config.ts'

const line = z.string().regex(/^[^\r\n\0]*$/, 'takes no line breaks')
const addresses = z.union([line.min(3), z.array(line.min(3)).min(1)])

const config = z
  .strictObject({
    backend: z.enum(['smtp', 'ses']).default('smtp'),
    from_address: line.min(3),
    to: addresses.optional(),
    cc: addresses.optional(),
    reply_to: addresses.optional(),
    subject: line.optional(),
    smtp_host: z.string().min(1).optional(),
    smtp_port: z.int().min(1).max(65_535).optional().describe('default 587, or 465 with smtp_tls = "implicit"'),
    smtp_username: z.string().optional(),
    smtp_password: z.string().optional(),
    smtp_tls: z.enum(['starttls', 'implicit', 'none']).optional().describe('default starttls, implicit on port 465'),
    ...awsKeys,
  })
  .superRefine((c, ctx) => {
    const refuse = (key: string, message: string) => ctx.addIssue({ code: 'custom', path: [key], message })
    const other = c.backend === 'ses' ? 'smtp_' : 'aws_'
    for (const key of Object.keys(c))
      if (key.startsWith(other) && key !== 'aws_session_name' && c[key as keyof typeof c] !== undefined)
        refuse(key, `has no effect with backend = "${c.backend}"`)
    if (c.backend === 'ses') return checkAws(c, ctx)
    if (c.smtp_host === undefined) refuse('smtp_host', 'is needed with backend = "smtp"')
    if ((c.smtp_username === undefined) !== (c.smtp_password === undefined))
      refuse(c.smtp_username === undefined ? 'smtp_username' : 'smtp_password', 'is needed beside the other of the two')
  })

export const email = defineProvider({
  type: 'email',
  verbs: [],
  config,
  open(name): Provider {
    throw new Error(`provider ${name}: being built`)
  },
})
