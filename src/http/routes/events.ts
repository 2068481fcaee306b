import { PAGE, pageOf, readPage } from '../page.ts'
import { readQuery, SCOPE, scopeOf } from '../query.ts'
import type { Route } from '../route.ts'

export const eventRoutes: readonly Route[] = [
  {
    method: 'GET',
    path: '/v1/events',
    doc: 'Events of state machines: none, until there are state machines',
    handle(c) {
      const q = readQuery(c, [...SCOPE, ...PAGE])
      const of = ['events', ...scopeOf(q)]
      readPage(q, of)
      return pageOf('events', [], undefined, of)
    },
  },
]
