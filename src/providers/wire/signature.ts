import { createHmac } from 'node:crypto'

/**
 * Headers of Standard Webhooks 1.0 (HMAC-SHA256 over `id.timestamp.body`). The id is the token, so it and the body are
 * the same each time; the timestamp is the attempt's own, because receivers refuse old ones.
 */
export function signedHeaders(secret: string, id: string, seconds: number, body: string) {
  const key = Buffer.from(secret.replace(/^whsec_/, ''), 'base64')
  const signature = createHmac('sha256', key).update(`${id}.${seconds}.${body}`).digest('base64')
  return {
    'webhook-id': id,
    'webhook-timestamp': String(seconds),
    'webhook-signature': `v1,${signature}`,
  }
}
