import { type AuditRow, type AuditRows, outboxText } from '../../core/audit.ts'
import type { Clock } from '../../core/clock.ts'
import { StateUnavailable, StateUnknown } from '../../core/errors.ts'
import { kinds } from '../../core/hold.ts'
import { portions } from '../../core/portions.ts'
import type { Op, StateStore } from '../../core/state.ts'
import { controls, POLLED } from '../control.ts'
import { NO_TAGS } from '../decide/row.ts'
import { refuseUnkept } from '../kept.ts'
import type { Commit } from '../outbox.ts'
import { scopeText } from '../scope.ts'
import { openAudit } from './audit/store.ts'
import { openClaims } from './claims.ts'
import { type Client, Failed } from './client.ts'
import { openEngine } from './engine.ts'
import { entryItem, type Item, keyOf, nameOfItem } from './items.ts'
import { openLanes } from './lanes.ts'
import { openReads } from './lists.ts'
import { openNumbers } from './numbers.ts'
import { KINDS_KEY, kindsOf, openRegistry, scopesKey } from './registry.ts'
import type { Tables } from './tables.ts'
import type { Read } from './view.ts'

export interface StoreParts {
  readonly client: Client
  readonly tables: Tables
  /** The store's time. */
  readonly clock: Clock
  readonly newId: () => string
  /** What becomes of a commit before it is decided, and with its answer. */
  readonly through?: ((commit: Commit) => Commit) | undefined
}
export interface Stores {
  readonly state: StateStore
  readonly audit: AuditRows
}

/** Fewer never need the outbox. */
const SPILLED_ROWS = 50
/** Characters of records in one entry of the outbox. */
const SPILLED_CHARS = 100_000
/** When those who have not drained their own outbox are taken for dead. */
const SPILLED_MS = 30_000
/** How long a commit that is done waits for its records to be in the audit too. */
const SPILL_WAIT_MS = 1000
/** The scope of what is no caller's. */
const NOBODY = ['', ''] as const

/** The ports over one table for the state and one for the audit. */
export async function openStores({ client, tables, clock, newId, through }: StoreParts): Promise<Stores> {
  const table = tables.state
  const now = clock.now
  const stamp = newId
  const number = await openNumbers(client, table)
  const registry = openRegistry(client, table)
  const audit = openAudit({ client, table: tables.audit, clock, stamp, newId })
  const background = new Set<Promise<void>>()

  async function announce(scope: string, ops: readonly Op[]): Promise<void> {
    const rows = ops.flatMap((op) => (op.op === 'record' ? [op.row] : []))
    await Promise.all([
      ...[...kindsOf(ops)].flatMap(([kind, due]) => [
        registry.note(scopesKey(kind), scope),
        ...(due ? [registry.note(KINDS_KEY, kind)] : []),
      ]),
      audit.announce(rows),
      ...(rows.length > SPILLED_ROWS ? [registry.note(KINDS_KEY, kinds.auditOutbox)] : []),
    ])
  }
  async function remove(key: ReturnType<typeof keyOf>, condition: object): Promise<void> {
    try {
      await client.once((db, o) =>
        db.send(new client.sdk.DeleteItemCommand({ TableName: table, Key: key, ...condition }), o),
      )
    } catch (e) {
      // Rubbish stays until it is found again.
      if (!(e instanceof Failed)) throw e
    }
  }
  /** More records than a transaction takes go by the outbox: as few entries in it, carried over at once, or by whoever finds them due. */
  function spill(rows: readonly AuditRow[], mark: string) {
    const chunks = portions(rows, (row) => row.json.length, SPILLED_CHARS)
    const scope = scopeText(NOBODY)
    const items = chunks.map((chunk, i) =>
      entryItem(
        {
          kind: kinds.auditOutbox,
          scope,
          id: `${mark}/${i}`,
          row: {
            version: mark,
            value: outboxText(chunk),
            tags: NO_TAGS,
            dueAt: now() + SPILLED_MS,
            expiresAt: undefined,
            claim: undefined,
            woken: false,
            attempts: 0,
          },
        },
        mark,
      ),
    )
    return {
      items: items.map((Item) => ({ Put: { TableName: table, Item } })),
      async after() {
        const carrying = carry(rows, items).finally(() => background.delete(carrying))
        background.add(carrying)
        // Nobody waits for an audit that does not take them just now: the commit is done.
        await Promise.race([carrying, clock.sleep(SPILL_WAIT_MS)])
      },
    }
  }
  async function carry(rows: readonly AuditRow[], items: readonly Item[]): Promise<void> {
    try {
      await audit.rows.append(rows)
    } catch (e) {
      // They are durable in the outbox, and due there soon.
      if (e instanceof StateUnavailable || e instanceof StateUnknown) return
      throw e
    }
    for (const item of items) await remove(keyOf(nameOfItem(item)), {})
  }
  /** What a sealed buffer has left goes when there is time; what cannot go now is found by the next seal. */
  function tidy(pks: readonly string[], read: Read): void {
    const all = pks.flatMap((pk) => read.buffers.get(pk) ?? [])
    const sweep = async () => {
      for (const item of all)
        await remove(keyOf(nameOfItem(item)), {
          ConditionExpression: 'g = :g',
          ExpressionAttributeValues: { ':g': item['g']! },
        })
    }
    const sweeping = sweep().finally(() => background.delete(sweeping))
    background.add(sweeping)
  }

  const engine = openEngine({ client, table, now, stamp, number, announce, carry: audit.carry, spill, tidy })
  const lanes = openLanes(engine, client.patience)
  const reads = openReads({ client, table, now, registry })
  const closing = new AbortController()
  let closed: Promise<void> | undefined
  const close = (): Promise<void> => {
    closing.abort()
    closed ??= lanes
      .close()
      .then(() => Promise.all([...background, audit.close()]))
      .then(() => client.close())
    return closed
  }

  const commit: Commit = (scope, ops, opts) =>
    refuseUnkept(ops) ?? lanes.commit(scopeText(scope), ops, opts?.dry === true)
  const state: StateStore = {
    ...reads,
    commit: through?.(commit) ?? commit,
    claim: openClaims({ client, table, now, stamp, number }),
    control: (topic) => control(topic),
    close,
  }
  const control = controls(state, { clock, newId, closed: closing.signal, shared: POLLED })
  return { state, audit: { ...audit.rows, close } }
}
