import { auditOutbox } from './audit-outbox.ts'
import type { BackgroundConfig } from './background.ts'
import { chainWakeups } from './chain-wakeups.ts'
import { cleanup } from './cleanup.ts'
import { copies } from './copies.ts'
import { flush } from './flush.ts'
import { groupSeal } from './group-seal.ts'
import { intents } from './intents.ts'
import type { Loop } from './loop.ts'
import { occurrences } from './occurrences.ts'
import type { LoopParts } from './parts.ts'
import { presence } from './presence.ts'
import { recurring } from './recurring.ts'
import { retention } from './retention.ts'
import { scheduled } from './scheduled.ts'

interface Row {
  readonly name: string
  readonly loop: (parts: LoopParts) => Loop
  readonly on: (config: BackgroundConfig) => boolean
  /** The rule action whose work waits for this loop. */
  readonly ruleType?: string
}

/**
 * All loops: one file each, one line each. Intents are no background work but the other half of every delivery, and the outbox that of
 * every record, and a node without loops is alive: always on.
 */
export const loopTable: readonly Row[] = [
  { name: 'intents', loop: intents, on: () => true },
  { name: 'audit-outbox', loop: auditOutbox, on: () => true },
  { name: 'presence', loop: presence, on: () => true },
  { name: 'copies', loop: copies, on: (c) => c.enabled, ruleType: 'copy' },
  { name: 'group-seal', loop: groupSeal, on: (c) => c.enabled && c.enableGroupFlush, ruleType: 'group' },
  { name: 'flush', loop: flush, on: (c) => c.enabled && c.enableGroupFlush, ruleType: 'group' },
  { name: 'scheduled', loop: scheduled, on: (c) => c.enabled && c.enableScheduledActions, ruleType: 'schedule' },
  { name: 'recurring', loop: recurring, on: (c) => c.enabled && c.enableRecurringActions },
  { name: 'occurrences', loop: occurrences, on: (c) => c.enabled && c.enableRecurringActions },
  { name: 'chain-wakeups', loop: chainWakeups, on: (c) => c.enabled && c.enableTimeoutProcessing, ruleType: 'chain' },
  { name: 'cleanup', loop: cleanup, on: (c) => c.enabled },
  { name: 'retention', loop: retention, on: (c) => c.enabled && c.enableRetentionReaper },
]

/** The loops this configuration wants, to be started with `startLoops`. */
export const backgroundLoops = (parts: LoopParts): readonly Loop[] =>
  loopTable.filter((row) => row.on(parts.config)).map((row) => row.loop(parts))

/** Types of rule actions whose loop is off: a rule of one of them is a load warning, since what it holds would wait for ever. */
export const ruleTypesWithoutLoop = (config: BackgroundConfig): readonly string[] => [
  ...new Set(loopTable.flatMap((row) => (row.ruleType !== undefined && !row.on(config) ? [row.ruleType] : []))),
]
