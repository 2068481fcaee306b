import type { IncomingMessage } from 'node:http'
import type { HttpBindings } from '@hono/node-server'
import type { Answered } from './answered.ts'
import type { HttpDeps } from './deps.ts'

/** Empty bindings: a request that did not come over a socket, as in tests. */
export interface Http {
  readonly Bindings: Partial<HttpBindings>
}
/** What a handler reads of a request: Hono's context is one, and so is what `direct.ts` makes. */
export interface Ctx {
  readonly env: { readonly incoming?: IncomingMessage }
  readonly req: {
    readonly method: string
    readonly url: string
    readonly path: string
    /** Where it did not come over a socket. */
    readonly raw?: Pick<Request, 'headers' | 'body'>
    param(name: string): string | undefined
  }
}

/** One line of the table in routes/index.ts. */
export interface Route {
  readonly method: 'GET' | 'POST' | 'PUT' | 'DELETE'
  /** The parts that vary as `{name}`. */
  readonly path: string
  readonly doc: string
  /** What it throws becomes a problem. */
  handle(c: Ctx, deps: HttpDeps): Answered | Promise<Answered>
}
