import type { AuditFollowed, AuditPurged, AuditRows, AuditScanned } from '../../core/audit.ts'
import type { Clock } from '../../core/clock.ts'
import type { StateStore } from '../../core/state.ts'
import type { Channel } from '../batching.ts'
import { controls } from '../control.ts'
import { refuseUnkept } from '../kept.ts'
import type { Commit } from '../outbox.ts'
import { scopeText } from '../scope.ts'
import type { Write } from './engine.ts'
import type { Read } from './reads.ts'

export interface Channels {
  readonly writer: Channel<Write>
  readonly reader: Channel<Read>
  readonly clock: Clock
  readonly newId: () => string
  /** What becomes of a commit before it travels, and with its answer. */
  readonly through?: ((commit: Commit) => Commit) | undefined
}
export interface Opened {
  readonly state: StateStore
  readonly audit: AuditRows
}

/** Rows removed in one transaction, so that no commit waits long behind housekeeping. */
const BITE = 500

/** The ports over the two channels: commits and claims to the writer, everything that is only looked at to the reader. */
export function storeOver({ writer, reader, clock, newId, through }: Channels): Opened {
  const read = <T>(call: Read): Promise<T> => reader.call(call) as Promise<T>
  const write = <T>(call: Write): Promise<T> => writer.call(call) as Promise<T>
  let closed: Promise<void> | undefined
  const closing = new AbortController()
  const close = (): Promise<void> => {
    closing.abort()
    // The reader first: the last to close is the writer, which leaves one file behind.
    closed ??= reader.close().finally(() => writer.close())
    return closed
  }

  const commit: Commit = (scope, ops, opts) =>
    refuseUnkept(ops) ?? write(['commit', scopeText(scope), ops, opts?.dry === true])
  const state: StateStore = {
    async get(keys) {
      const found = await read<(object | null)[]>(['get', keys.map((k) => [k.kind, scopeText(k.scope), k.id])])
      return found.map((e) => e ?? undefined) as Awaited<ReturnType<StateStore['get']>>
    },
    commit: through?.(commit) ?? commit,
    claim: (kind, opts) => write(['claim', { kind, ...opts }]),
    list: (kind, scope, opts) => read(['list', { kind, scope: scopeText(scope), ...opts }]),
    scopes: (kind, { after, limit }) => read(['scopes', kind, after && scopeText(after), limit]),
    async peek(what, scope, ids) {
      const found = await read<(object | null)[]>(['peek', what, scopeText(scope), ids])
      return found.map((p) => p ?? undefined) as Awaited<ReturnType<StateStore['peek']>>
    },
    control: (topic) => control(topic),
    async nextDue(kind) {
      return (await write<number | null>(['nextDue', kind])) ?? undefined
    },
    depths: () => read(['depths']),
    close,
  }
  const control = controls(state, { clock, newId, closed: closing.signal })
  const audit: AuditRows = {
    append: async (rows) => {
      await write(['append', rows])
    },
    scan: ({ scope, ...rest }) => read<AuditScanned>(['auditPage', { scope: scopeText(scope), ...rest }]),
    purge: (scope, old, looks) => write<AuditPurged>(['purge', scopeText(scope), old, Math.min(looks, BITE)]),
    scopes: (after, limit) => read(['auditScopes', after && scopeText(after), limit]),
    follow: ({ scope, ...rest }) => read<AuditFollowed>(['auditFollow', { ...rest, scope: scope && scopeText(scope) }]),
    close,
  }
  return { state, audit }
}
