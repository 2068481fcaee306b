import type { IncomingMessage, ServerResponse } from 'node:http'
import type { Answered } from './answered.ts'
import type { HttpDeps } from './deps.ts'
import { guard } from './guard.ts'
import type { Direct } from './listen.ts'
import type { Ctx, Route } from './route.ts'
import { dispatchRoutes } from './routes/dispatch.ts'
import { refuse } from './server.ts'

/**
 * Dispatches as nearly all of them come, from node's request to the handler and from its answer to node's response. What Hono and
 * Fetch put in between costs more than the rules do. Anything unusual about a request is left to Hono, which has the same handlers.
 */
export function createDirect(deps: HttpDeps): Direct {
  const check = guard(deps.server)
  const routes = new Map(dispatchRoutes.map((route) => [route.path, route]))

  async function answer(route: Route, incoming: IncomingMessage, outgoing: ServerResponse): Promise<void> {
    const { path } = route
    const url = `http://${incoming.headers.host}${path}`
    const c: Ctx = { env: { incoming }, req: { method: route.method, url, path, param: noParam } }
    let answered: Answered
    try {
      check(c)
      answered = await route.handle(c, deps)
    } catch (e) {
      answered = refuse(e, c, deps)
    }
    send(outgoing, answered)
  }

  return (incoming, outgoing) => {
    const route = routes.get(incoming.url ?? '')
    if (!route || route.method !== incoming.method || !isPlain(incoming, deps.server.bodyLimitBytes)) return false
    answer(route, incoming, outgoing).catch((error: unknown) => {
      deps.env.log.error({ error }, 'an answer could not be sent')
      outgoing.destroy()
    })
    return true
  }
}

const noParam = (): undefined => undefined

const HOST = /^[\w.-]+(?::\d+)?$/

/** JSON, uncompressed, of a length that is said and allowed, asked for under a name of ordinary characters. */
function isPlain({ headers }: IncomingMessage, limit: number): boolean {
  return (
    headers['content-type'] === 'application/json' &&
    headers['content-encoding'] === undefined &&
    Number(headers['content-length']) <= limit &&
    HOST.test(headers.host ?? '')
  )
}

function send(outgoing: ServerResponse, { status, headers, body }: Answered): void {
  const text = body ?? ''
  const length = Buffer.byteLength(text)
  outgoing.writeHead(status, { ...headers, 'content-length': length })
  // As many bytes as characters is ASCII, which Latin-1 writes alike and without asking at each character.
  outgoing.end(text, length === text.length ? 'latin1' : 'utf8')
}
