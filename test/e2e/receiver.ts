import { createServer, type IncomingHttpHeaders, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { onTestFinished } from 'vitest'
import type { JsonObject } from '../../src/core/json.ts'

/**
 * A webhook endpoint that honours tokens: the first body of each `Idempotency-Key` is an effect, the same body again is none, and
 * another body under a known token is what must never come.
 */
export interface Receiver {
  /** Without a path: the paths are the test's. */
  readonly url: string
  /** Effects by path and token, in the order they came. */
  readonly effects: ReadonlyMap<string, Effect>
  /** Their bodies, read; of one path or of all. */
  bodies(path?: string): readonly JsonObject[]
  /** Requests in all, repeated ones too. */
  readonly requests: number
  /** What must never have come: two bodies of one token, a request without a token. */
  readonly wrong: readonly string[]
}
export interface Effect {
  readonly path: string
  readonly body: string
  readonly headers: IncomingHttpHeaders
}
export type Answer = (
  effect: Effect,
  nth: number,
) => Promise<{ readonly status: number; readonly body?: string }> | undefined

/** `answer` may decide otherwise than 200; undefined leaves it at that. What it decides is after the effect. */
export async function receiver(answer: Answer = () => undefined): Promise<Receiver> {
  const effects = new Map<string, Effect>()
  const wrong: string[] = []
  let requests = 0

  async function take(incoming: IncomingMessage, outgoing: ServerResponse): Promise<void> {
    const chunks: Buffer[] = []
    for await (const chunk of incoming) chunks.push(chunk as Buffer)
    const body = Buffer.concat(chunks).toString('utf8')
    const token = incoming.headers['idempotency-key']
    const path = incoming.url ?? ''
    const effect = { path, body, headers: incoming.headers }
    const nth = ++requests
    if (typeof token !== 'string') wrong.push(`no token: ${body}`)
    else {
      const known = `${path} ${token}`
      const first = effects.get(known)
      if (first === undefined) effects.set(known, effect)
      else if (first.body !== body) wrong.push(`two bodies under ${token}: ${first.body} and ${body}`)
    }
    const { status, body: said = '{"taken":true}' } = (await answer(effect, nth)) ?? { status: 200 }
    outgoing.writeHead(status, { 'content-type': 'application/json' }).end(said)
  }
  const server = createServer((incoming, outgoing) => {
    // A sender that is killed in the middle of its request has sent nothing.
    take(incoming, outgoing).catch(() => outgoing.destroy())
  })
  await new Promise<void>((ready) => server.listen(0, '127.0.0.1', ready))
  onTestFinished(() => {
    server.closeAllConnections()
    server.close()
  })
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    effects,
    bodies: (path) =>
      [...effects.values()].flatMap((e) =>
        path === undefined || e.path === path ? [JSON.parse(e.body) as JsonObject] : [],
      ),
    wrong,
    get requests() {
      return requests
    },
  }
}
