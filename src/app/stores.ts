import { carryAll } from '../audit/carry.ts'
import { handed } from '../audit/handed.ts'
import { drainOutbox, outboxes } from '../audit/outbox.ts'
import { auditStore } from '../audit/scan.ts'
import { fitting } from '../audit/shorten.ts'
import type { AuditStore } from '../core/audit.ts'
import { largestRecord, stateBackends } from '../state/index.ts'
import type { Opened, OpenTools, StoreSettings } from '../state/opened.ts'
import type { AuditConfig, Config, StateConfig } from './config/config.ts'

/** The store and the audit of a configuration, open. */
export interface Stores extends Pick<Opened, 'state' | 'clock' | 'clockOffsetMs' | 'trouble'> {
  readonly audit: AuditStore
  /** Where they lie, for who starts it. */
  readonly where: string
  /**
   * Carries records over to an audit in another place, those written here and those that nobody has carried, until there are no more of
   * them, or it is enough; answers how many. There is nothing to carry where both are one, but what had no room. `last`: nothing is
   * left to a next time.
   */
  carryAudit(owner: string, enough?: AbortSignal, last?: boolean): Promise<number>
  /** Rung when there is so much to carry that it should not wait. */
  whenMuchToCarry(ring: () => void): void
  close(): Promise<void>
}

/** Rejects with StateUnavailable whose message says what is wrong with which. */
export async function openStores(
  { state: settings, audit: wanted }: Pick<Config, 'state' | 'audit'>,
  tools: Omit<OpenTools, 'auditElsewhere'>,
): Promise<Stores> {
  const auditElsewhere = !isOne(settings, wanted)
  const own = handed()
  const here = await open(
    settings.backend,
    { ...settings, ...(!auditElsewhere && { auditTableName: wanted.tableName }) },
    { ...tools, auditElsewhere, ...(auditElsewhere && { handOver: own }) },
  )
  const { state, clock, clockOffsetMs } = here
  const from = outboxes(clock.now)
  if (!auditElsewhere && here.audit) {
    const rows = here.audit
    const close = (): Promise<void> => state.close()
    const carryAudit = async (owner: string, enough?: AbortSignal) =>
      here.spills ? drainOutbox(state, rows, owner, tools.log, { enough, from: from() }) : 0
    return {
      ...here,
      audit: auditStore(rows),
      where: `State and audit in ${here.where}`,
      carryAudit,
      whenMuchToCarry() {},
      close,
    }
  }
  let there: Opened
  try {
    there = await open(wanted.backend, settingsOf(settings, wanted), { ...tools, auditElsewhere: false })
  } catch (e) {
    await state.close()
    throw e
  }
  const rows = there.audit!
  const room = largestRecord[wanted.backend]
  // What a request may bring has room, but rules make more of it.
  const way = room === undefined ? rows : fitting(rows, room)
  const toAudit = { own, state, audit: way, now: clock.now, log: tools.log, from }
  return {
    state,
    clock,
    clockOffsetMs,
    audit: auditStore(rows),
    // An audit that is away holds nothing up: records wait in the state.
    trouble: here.trouble,
    where: `State in ${here.where}, audit in ${there.where}`,
    carryAudit: (owner, enough, last) => carryAll(toAudit, owner, enough, last),
    whenMuchToCarry: own.whenMany,
    async close() {
      await state.close()
      await there.state.close()
    },
  }
}

const open = (backend: string, settings: StoreSettings, tools: OpenTools): Promise<Opened> =>
  stateBackends[backend]!(settings, tools)

/** The audit is kept in the transactions of the state. */
const isOne = (state: StateConfig, audit: AuditConfig): boolean =>
  audit.backend === state.backend &&
  (audit.backend !== 'sqlite' || audit.path === state.path) &&
  (audit.url ?? state.url) === state.url &&
  (audit.region ?? state.region) === state.region &&
  (audit.backend === 'sqlite' || (audit.prefix ?? state.prefix) === state.prefix)

/** An audit by itself is a store of which only the audit is used. */
const settingsOf = (state: StateConfig, audit: AuditConfig): StateConfig => ({
  ...state,
  backend: audit.backend,
  path: audit.path,
  url: audit.url ?? (audit.backend === state.backend ? state.url : undefined),
  listenUrl: undefined,
  region: audit.region,
  tableName: audit.tableName,
  prefix: audit.prefix ?? state.prefix,
})
