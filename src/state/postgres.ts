import type { AuditRows } from '../core/audit.ts'
import type { Clock } from '../core/clock.ts'
import { StateUnavailable, StateUnknown } from '../core/errors.ts'
import { uuidv7Source } from '../core/ids.ts'
import type { Claimed, Committed, Refused, StateStore } from '../core/state.ts'
import { type Arming, batching } from './batching.ts'
import { charsOf } from './chars.ts'
import { controls } from './control.ts'
import { refuseUnkept } from './kept.ts'
import type { Opened, OpenTools, StoreSettings } from './opened.ts'
import { throughOutbox, type Commit as Written } from './outbox.ts'
import { auditRowsOver } from './postgres/audit.ts'
import { type Commit, commitsOver } from './postgres/commits.ts'
import { type Ask, type Connections, openConnections } from './postgres/connections.ts'
import { type Hints, listenForHints } from './postgres/hints.ts'
import { readsOver } from './postgres/reads.ts'
import { migrate } from './postgres/schema.ts'
import { checkServer } from './postgres/server.ts'
import { toPg, whole } from './postgres/text.ts'
import { type EntryRow, entryIn } from './postgres/wire.ts'
import { scopeText } from './scope.ts'
import { type StoreClock, serverClock } from './store-clock.ts'

export interface PostgresTools extends OpenTools {
  /** The store's time, where a test owns it. Left out, the difference to the server's is measured. */
  readonly storeTime?: Clock
}
export interface OpenedPostgres extends Opened {
  readonly audit: AuditRows
  /** Ways there and back that somebody has waited for: looks at the clock and the sweep are none. */
  readonly roundTrips: () => number
}

/** Connections of a node: one carries commits, the others what is read. */
const MOST_CONNECTIONS = 10
/** Whoever has just been answered asks again at once, and is worth a turn of the loop: one transaction for sixty costs little more than one for thirty. */
const GATHERING = { quiet: 1, most: 8 }
const turn: Arming['turn'] = (then) => void setImmediate(then)

/** Rows of a table removed in one go, and how often it is looked for them. */
const BITE = 500
const SWEEP_EVERY_MS = 1000
/** What has expired outlives it by so much: who decides that it is over is the reader, by its own clock, and the sweep's may be ahead of that. */
const LATE_MS = 60_000

/** State and audit in one PostgreSQL schema, which any number of nodes share. */
export async function openPostgres(settings: StoreSettings, tools: PostgresTools): Promise<OpenedPostgres> {
  const { url, schema, where } = readSettings(settings)
  const connections = openConnections({ ...tools, url, most: MOST_CONNECTIONS })
  try {
    return await openOver(connections, schema, where, settings, tools)
  } catch (e) {
    await connections.close()
    throw e instanceof StateUnavailable ? e : new StateUnavailable(e instanceof Error ? e.message : String(e))
  }
}

async function openOver(
  connections: Connections,
  s: string,
  where: string,
  settings: StoreSettings,
  tools: PostgresTools,
): Promise<OpenedPostgres> {
  let trips = 0
  const counted =
    (ask: Ask): Ask =>
    (sql, values) => {
      trips++
      return ask(sql, values)
    }
  const [read, write] = [counted(connections.read), counted(connections.write)]
  await checkServer(read, (message) => tools.log.warn({}, message))
  const began = await migrate(write, s)
  const measured = tools.storeTime === undefined ? await measure(connections, tools) : undefined
  const clock = tools.storeTime ?? measured!
  const now = clock.now
  const newId = uuidv7Source(now, tools.random)
  const closing = new AbortController()

  let nextSweep = 0
  let sweeping: Promise<void> | undefined
  /** Expired rows are absent to every reader before; what could not be removed now is found again. */
  const tidy = (): void => {
    if (sweeping !== undefined || closing.signal.aborted || now() < nextSweep) return
    nextSweep = now() + SWEEP_EVERY_MS
    sweeping = sweep().finally(() => {
      sweeping = undefined
    })
  }
  async function sweep(): Promise<void> {
    try {
      for (let most = BITE; most === BITE && !closing.signal.aborted; ) {
        const [row] = await connections.write<{ n: number }>(`SELECT ${s}.sweep($1, $2) AS n`, [now() - LATE_MS, BITE])
        most = row?.n ?? 0
      }
    } catch (e) {
      tools.log.debug({ error: String(e) }, 'expired rows were not removed')
    }
  }

  const commits = batching<Commit>(
    commitsOver(write, s, { now, servers: measured !== undefined }, tidy),
    { turn, ...GATHERING },
    StateUnknown,
    ([, ops]) => charsOf(ops),
  )
  const commit = (...call: Commit): Promise<Committed | Refused> => commits.call(call) as Promise<Committed | Refused>
  let hints: Hints | undefined
  if (settings.listenUrl !== undefined) hints = listenForHints(settings.listenUrl, `${s}_control`, tools)
  /** The scope served last, or looked at last, by kind: turns go on behind it. */
  const served = new Map<string, string>()

  let closed: Promise<void> | undefined
  const close = (): Promise<void> => {
    closed ??= (async () => {
      closing.abort()
      hints?.close()
      measured?.stop()
      await commits.close()
      await sweeping
      await connections.close()
    })()
    return closed
  }

  const written: Written = (scope, ops, opts) => refuseUnkept(ops) ?? commit(scopeText(scope), ops, opts?.dry === true)
  const state: StateStore = {
    ...readsOver(read, s, now),
    commit: tools.auditElsewhere ? throughOutbox(now, tools.handOver)(written) : written,
    async claim(kind, { owner, leaseMs, limit, perScope }) {
      if (limit <= 0) return []
      const at = now()
      const [row] = await write<{ done: { readonly taken: readonly EntryRow[]; readonly walked: string | null } }>(
        `SELECT ${s}.claim_due($1, $2, $3, $4, $5, $6, $7) AS done`,
        [
          toPg(kind),
          toPg(owner),
          whole(leaseMs),
          limit,
          Math.min(perScope ?? limit, limit),
          served.get(kind) ?? '',
          at,
        ],
      )
      const { taken, walked } = row!.done
      const next = walked ?? taken.at(-1)?.scope
      if (next !== undefined) served.set(kind, next)
      tidy()
      return taken.map((r) => entryIn(r, at) as Claimed)
    },
    control: (topic) => control(topic),
    close,
  }
  const control = controls(state, {
    clock,
    newId,
    closed: closing.signal,
    shared: { hint: (topic, ring) => hints?.on(topic, ring) },
  })
  const audit = auditRowsOver(read, write, s, began, {
    append: async (rows) =>
      void (await commit(
        '',
        rows.map((row) => ({ op: 'record', row })),
        false,
      )),
    close,
  })
  return {
    state,
    audit,
    clock,
    clockOffsetMs: () => measured?.offsetMs ?? 0,
    trouble: () => connections.trouble() ?? measured?.unsteady(),
    where,
    roundTrips: () => trips,
  }
}

const measure = ({ read }: Connections, tools: OpenTools): Promise<StoreClock> =>
  serverClock('PostgreSQL', tools, async () => {
    const [row] = await read<{ ms: number }>('SELECT extract(epoch FROM clock_timestamp()) * 1000 AS ms')
    return Number(row?.ms)
  })

function readSettings({ url, prefix }: StoreSettings): { url: string; schema: string; where: string } {
  if (url === undefined)
    throw new StateUnavailable('PostgreSQL needs a url: postgres://user:password@host:5432/database')
  if (!URL.canParse(url) || !/^postgres(ql)?:$/.test(new URL(url).protocol))
    throw new StateUnavailable('the url is none of PostgreSQL: postgres://user:password@host:5432/database')
  const schema = prefix ?? 'signalbox'
  if (!/^[a-z_][a-z0-9_]{0,39}$/.test(schema))
    throw new StateUnavailable(
      `the prefix ${JSON.stringify(schema)} is no name of a schema: a-z, 0-9 and _, at most 40`,
    )
  const { host, pathname } = new URL(url)
  return { url, schema, where: `PostgreSQL at ${host}${pathname}, schema ${schema}` }
}
