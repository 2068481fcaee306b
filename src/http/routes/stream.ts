import { Problem } from '../../core/errors.ts'
import type { Answered } from '../answered.ts'
import { flag, invalidParameter, readQuery, SCOPE } from '../query.ts'
import { header } from '../request.ts'
import type { Route } from '../route.ts'
import { auditScope, columnsOf, FILTERS } from './audit.ts'

/** A stream is the last of its connection: how it ends is seen by everybody. And no proxy should keep it back to send it in one piece. */
const HEADERS = {
  'content-type': 'text/event-stream',
  'cache-control': 'no-store',
  'x-accel-buffering': 'no',
  connection: 'close',
}

export const streamRoutes: readonly Route[] = [
  {
    method: 'GET',
    path: '/v1/stream',
    doc: 'What all nodes record, as server-sent events in the order of the commits, by scope or all_scopes=true and the filters of the audit; resumes from Last-Event-ID, or after',
    async handle(c, { auditPolicy, streams }): Promise<Answered> {
      const q = readQuery(c, [...SCOPE, ...FILTERS, 'all_scopes', 'after'])
      const all = flag(q, 'all_scopes')
      if (all && (q.namespace ?? q.tenant) !== undefined)
        throw invalidParameter('all_scopes', 'is for those who name neither namespace nor tenant')
      const filter = { scope: all ? undefined : auditScope(q), columns: columnsOf(q) }
      if (!auditPolicy().enabled)
        throw new Problem(501, 'not_supported', 'the stream is read from the audit, which is off: [audit].enabled')
      if (c.req.method === 'HEAD') return { status: 200, headers: HEADERS, body: null }
      // A browser sends the header by itself when it comes back: it knows more than the address does.
      const after = header(c, 'last-event-id') ?? q.after
      const stream = await streams.begin({
        filter,
        after: after === '' ? undefined : after,
        cut: () => c.env?.incoming?.socket.destroy(),
      })
      return { status: 200, headers: HEADERS, body: null, stream }
    },
  },
]
