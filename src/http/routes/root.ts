import { json } from '../answer.ts'
import { readQuery } from '../query.ts'
import type { Route } from '../route.ts'

/** `all`: the whole table, which this is part of. */
export const rootRoutes = (all: () => readonly Route[]): readonly Route[] => [
  {
    method: 'GET',
    path: '/',
    doc: 'This list',
    handle(c, { version }) {
      readQuery(c, [])
      const routes = all().map(({ method, path, doc }) => ({ method, path, doc }))
      return json(200, { name: 'signalbox', version, routes })
    },
  },
]
