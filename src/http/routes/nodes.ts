import { PAGE, pageOf, readPage } from '../page.ts'
import { readQuery } from '../query.ts'
import type { Route } from '../route.ts'

const OF = ['nodes']

export const nodeRoutes: readonly Route[] = [
  {
    method: 'GET',
    path: '/v1/nodes',
    doc: 'The gateways that are alive on this store, with version, rules version and clock offset',
    async handle(c, { nodes }) {
      const found = await nodes.list(readPage(readQuery(c, PAGE), OF))
      return pageOf('nodes', found.nodes, found.next, OF)
    },
  },
]
