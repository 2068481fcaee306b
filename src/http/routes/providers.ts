import { notFound } from '../../core/errors.ts'
import { didYouMean } from '../../core/nearest.ts'
import { json } from '../answer.ts'
import { noBody } from '../body.ts'
import { cut, PAGE, pageOf, readPage } from '../page.ts'
import { readQuery } from '../query.ts'
import { param } from '../request.ts'
import type { Route } from '../route.ts'

const OF = ['providers']
const list: Route['handle'] = (c, { deliver }) => {
  const { items, next } = cut(deliver.health(), (p) => p.provider, readPage(readQuery(c, PAGE), OF))
  return pageOf('providers', items, next, OF)
}

export const providerRoutes: readonly Route[] = [
  { method: 'GET', path: '/v1/providers', doc: 'Providers, with what this process has seen of them', handle: list },
  { method: 'GET', path: '/v1/providers/health', doc: 'The same', handle: list },
  {
    method: 'POST',
    path: '/v1/providers/{name}/test',
    doc: 'Whether a provider can be reached; sends no action',
    async handle(c, deps) {
      readQuery(c, [])
      await noBody(c, deps.server.bodyLimitBytes)
      const name = param(c, 'name')
      const done = await deps.deliver.test(name)
      if (done) return json(200, done)
      const names = deps.deliver.health().map((p) => p.provider)
      throw notFound('provider of this name', didYouMean(name, names))
    },
  },
]
