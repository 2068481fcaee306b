import { serve } from '@hono/node-server'
import { Hono } from 'hono'

/** The floor everything is compared with: JSON in, JSON out, nothing between. */
const app = new Hono()
app.post('/v1/dispatch', async (c) => c.json(await c.req.json()))
serve({ fetch: app.fetch, port: Number(process.env['PORT'] ?? 0), hostname: '127.0.0.1' }, (info) => {
  process.stdout.write(`Listening on 127.0.0.1:${info.port}\n`)
})
