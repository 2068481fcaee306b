import type { HttpBindings } from '@hono/node-server'
import type { Context } from 'hono'
import type { HttpDeps } from './deps.ts'

/** Empty bindings: a request that did not come over a socket, as in tests. */
export interface Http {
  readonly Bindings: Partial<HttpBindings>
}
export type Ctx = Context<Http>

/** One line of the table in routes/index.ts. */
export interface Route {
  readonly method: 'GET' | 'POST' | 'PUT' | 'DELETE'
  /** The parts that vary as `{name}`. */
  readonly path: string
  readonly doc: string
  /** What it throws becomes a problem. */
  handle(c: Ctx, deps: HttpDeps): Response | Promise<Response>
}
