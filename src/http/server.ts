import { Hono } from 'hono'
import { Problem } from '../core/errors.ts'
import { didYouMean } from '../core/nearest.ts'
import { type Answered, response } from './answered.ts'
import type { HttpDeps } from './deps.ts'
import { guard } from './guard.ts'
import { problemOf, problemResponse } from './problem.ts'
import { checkTarget } from './request.ts'
import type { Ctx, Http, Route } from './route.ts'
import { FixedFirst } from './router.ts'
import { routes } from './routes/index.ts'

export { type Listening, listen } from './listen.ts'

/** Asked by those who know the process only by its address. */
const ANY_NAME = new Set(['/livez', '/readyz'])

/**
 * The routes over what they are made of. Each has one handler and no middleware: Hono then calls it without composing anything,
 * which a dispatch notices.
 */
export function createApp(deps: HttpDeps): Hono<Http> {
  const app = new Hono<Http>({ router: new FixedFirst() })
  const check = guard(deps.server)
  for (const route of routes)
    app.on(route.method, route.path.replace(/\{(\w+)\}/g, ':$1'), async (c) => {
      if (!ANY_NAME.has(route.path)) check(c)
      checkTarget(c)
      return response(await route.handle(c, deps))
    })
  app.notFound((c) => {
    check(c)
    checkTarget(c)
    return response(refuse(nowhere(c), c, deps))
  })
  app.onError((e, c) => response(refuse(e, c, deps)))
  return app
}

/** What is answered to anything thrown. */
export function refuse(error: unknown, c: Ctx, deps: HttpDeps): Answered {
  const p = problemOf(error, { log: deps.env.log, newId: deps.env.newId })
  deps.stats.problem(p)
  const allow = p.status === 405 ? { allow: methodsOf(c.req.path).join(', ') } : {}
  // What is left of a body that was refused half-way is not worth reading.
  return problemResponse(p, p.status === 413 ? { connection: 'close' } : allow)
}

function nowhere(c: Ctx): Problem {
  const { path, method } = c.req
  if (methodsOf(path).length > 0)
    return new Problem(405, 'method_not_allowed', `${path} takes ${methodsOf(path).join(', ')}, not ${method}`)
  const known = [...new Set(routes.map((r) => r.path))]
  return new Problem(
    404,
    'unknown_route',
    `there is no ${path}${didYouMean(path, known) || '.'} GET / lists what there is.`,
  )
}

const patterns: readonly (readonly [RegExp, Route])[] = routes.map((r) => [
  new RegExp(`^${r.path.replace(/[.*+?^$()|[\]\\]/g, '\\$&').replace(/\{\w+\}/g, '[^/]+')}$`),
  r,
])

function methodsOf(path: string): readonly string[] {
  const methods = patterns.filter(([p]) => p.test(path)).map(([, r]) => r.method as string)
  return methods.includes('GET') ? ['GET', 'HEAD', ...methods.filter((m) => m !== 'GET')] : methods
}
