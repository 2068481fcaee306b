import { z } from 'zod'
import type { Action } from '../core/action.ts'
import type { Json } from '../core/json.ts'
import { LINEAGE_HEADER } from '../core/lineage.ts'
import type { Provider } from '../core/provider.ts'
import { defineProvider } from '../core/provider.ts'
import { compileTemplate } from '../core/template.ts'
import { decode, stored } from './wire/data.ts'
import { codeOfStatus, failure, retryAfterMs } from './wire/errors.ts'
import { signedHeaders } from './wire/signature.ts'
import { openTarget } from './wire/target.ts'

const ROOTS = ['action', 'payload', 'metadata']
/** Headers the connection or the gateway itself must own. */
const OWNED =
  /^(host|connection|content-length|transfer-encoding|upgrade|expect|te|trailer|idempotency-key|signalbox-lineage|webhook-.*)$/i

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

type Config = z.output<typeof config>
/** As stored. Neither the URL nor the headers are in it: both may hold secrets, and both are the configuration's. */
type Request = { readonly token: string; readonly body: string; readonly lineage?: string }

/**
 * One HTTP endpoint. The token is the `Idempotency-Key`; with a signing secret also the `webhook-id`. Private networks
 * are reachable unless `block_private_networks`, because operators name the host; metadata addresses never are.
 */
export const webhook = defineProvider({
  type: 'webhook',
  verbs: [],
  config,
  open(name, config, env): Provider {
    const url = new URL(config.url)
    const target = openTarget(url, { blockPrivate: config.block_private_networks })
    const bodyOf = bodyRenderer(config)
    const hasBody = config.method !== 'GET'
    const headers = {
      ...(hasBody && { 'content-type': 'application/json' }),
      'user-agent': 'signalbox',
      ...Object.fromEntries(Object.entries(config.headers).map(([k, v]) => [k.toLowerCase(), v])),
    }
    return {
      name,
      type: 'webhook',
      hasEffect: true,
      render: (action, { token, lineage }): Request => ({
        token,
        body: hasBody ? bodyOf(action) : '',
        ...(lineage !== undefined && { lineage }),
      }),
      dedupWindowMs: () => (config.dedup_window_seconds ?? 0) * 1000,
      async send(request, { signal }) {
        const { token, body, lineage } = stored<Request>(request)
        const seconds = Math.floor(env.clock.now() / 1000)
        const signed =
          config.signing_secret === undefined ? {} : signedHeaders(config.signing_secret, token, seconds, body)
        const answer = await target.request({
          method: config.method,
          headers: {
            ...headers,
            'idempotency-key': token,
            ...(lineage !== undefined && { [LINEAGE_HEADER.toLowerCase()]: lineage }),
            ...signed,
          },
          ...(hasBody && { body }),
          signal,
        })
        const { status } = answer
        const response = {
          status,
          body: answer.truncated ? { text: answer.text, truncated: true } : decode(answer.text),
        }
        if (status >= 200 && status < 300) return response
        throw failure(codeOfStatus(status), `the endpoint answered ${status}`, {
          retryAfterMs: retryAfterMs(answer.headers['retry-after'], env.clock.now()),
          response,
        })
      },
      check: (signal) => target.connect(signal),
      close: () => target.close(),
    }
  },
})

/** The template's result where there is one (text goes out as it is), else the action or its payload as JSON. */
function bodyRenderer(config: Config): (action: Action) => string {
  if (config.body === undefined)
    return (action) => JSON.stringify(config.payload_mode === 'payload' ? action.payload : action)
  const template = compileTemplate(config.body)
  return (action) => {
    const { payload, metadata } = action
    const rendered = template.render({ action: JSON.parse(JSON.stringify(action)) as Json, payload, metadata })
    return typeof rendered === 'string' ? rendered : JSON.stringify(rendered)
  }
}
