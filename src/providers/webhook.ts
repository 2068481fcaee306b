import { z } from 'zod'
import type { Json } from '../core/json.ts'
import type { Provider } from '../core/provider.ts'
import { defineProvider } from '../core/provider.ts'
import { compileTemplate } from '../core/template.ts'

const ROOTS = ['action', 'payload', 'metadata']
/** Headers the connection or the gateway itself must own. */
const OWNED =
  /^(host|connection|content-length|transfer-encoding|upgrade|expect|te|trailer|idempotency-key|webhook-.*)$/i

const config = z.strictObject({
  url: z.url({ protocol: /^https?$/ }).superRefine((url, ctx) => {
    if (url.includes('{{')) ctx.addIssue({ code: 'custom', message: 'takes no templates: where it goes is fixed here' })
    const u = URL.parse(url)
    if (u && (u.username !== '' || u.password !== ''))
      ctx.addIssue({ code: 'custom', message: 'takes no user or password: set headers.authorization' })
  }),
  method: z.enum(['POST', 'PUT', 'PATCH', 'DELETE', 'GET']).default('POST'),
  headers: z
    .record(
      z
        .string()
        .regex(/^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/, 'expected a header name')
        .refine((name) => !OWNED.test(name), 'is set by the gateway itself'),
      z.string().regex(/^[\t\x20-\x7e\x80-\xff]*$/, 'expected text without line breaks'),
    )
    .default({}),
  body: z
    .custom<Json>((v) => v !== undefined)
    .superRefine((body, ctx) => {
      for (const r of compileTemplate(body).references)
        if (!ROOTS.includes(r.path[0] ?? ''))
          ctx.addIssue({ code: 'custom', message: `{{${r.text}}} begins with none of ${ROOTS.join(', ')}` })
    })
    .optional()
    .describe('a template, text or table; over payload_mode'),
  signing_secret: z
    .string()
    .regex(/^(whsec_)?[A-Za-z0-9+/]{4,}={0,2}$/, 'expected whsec_ and base64, as Standard Webhooks has it')
    .optional(),
  payload_mode: z.enum(['action', 'payload']).default('action'),
  dedup_window_seconds: z
    .number()
    .positive()
    .max(30 * 86_400)
    .optional(),
  block_private_networks: z.boolean().default(false),
})

export const webhook = defineProvider({
  type: 'webhook',
  verbs: [],
  config,
  open(name): Provider {
    throw new Error(`provider ${name}: being built`)
  },
})
