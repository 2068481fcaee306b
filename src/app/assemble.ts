import type { Chains } from '../chains/chains.ts'
import { dispatchedLookup } from '../chains/dispatched.ts'
import { createChains } from '../chains/engine.ts'
import type { DefinitionIssue } from '../chains/model/definition.ts'
import type { AuditRow, AuditStore } from '../core/audit.ts'
import type { Env } from '../core/env.ts'
import type { Environment } from '../core/expand.ts'
import type { JsonObject } from '../core/json.ts'
import { LINEAGE_TOPIC, type LineageSigner } from '../core/lineage.ts'
import { didYouMean } from '../core/nearest.ts'
import { compileRedact, type Redact } from '../core/redact.ts'
import type { Op, StateStore } from '../core/state.ts'
import { BREAKERS_TOPIC, type Breakers, createBreakers } from '../delivery/breakers.ts'
import { createDeliver, type Delivering } from '../delivery/deliver.ts'
import type { AttemptSeen } from '../delivery/leg.ts'
import type { Routes } from '../delivery/route.ts'
import { type CancelHeld, cancelHeld } from '../dispatch/cancel-held.ts'
import { chainDispatcher } from '../dispatch/chain-dispatch.ts'
import { createDeliveries, type Deliveries } from '../dispatch/deliveries.ts'
import { exhausted } from '../dispatch/exhausted.ts'
import { forwardOps } from '../dispatch/forward.ts'
import { createGateway, type Gateway } from '../dispatch/gateway.ts'
import { createHeld } from '../dispatch/held.ts'
import type { Observe, Parts } from '../dispatch/parts.ts'
import { type AuditPolicy, type Recorded, recordOps } from '../dispatch/record.ts'
import { createRedrive, type Redrive } from '../dispatch/redrive.ts'
import { runCounts } from '../dispatch/run-counts.ts'
import { createSend } from '../dispatch/send.ts'
import { type Groups, groups } from '../groups/groups.ts'
import type { Handlers } from '../loops/parts.ts'
import { type NodeAbout, type Nodes, openNodes } from '../nodes/nodes.ts'
import { openQuotas, type Quotas } from '../quotas/quotas.ts'
import { purgeDeadLetters } from '../retention/dead-letters.ts'
import { openRetentionPolicies, type RetentionPolicies } from '../retention/policies.ts'
import { reaper } from '../retention/reaper.ts'
import type { Beside } from '../rules/beside.ts'
import { comparisons } from '../rules/conditions/index.ts'
import { openRules, type Rules } from '../rules/rules.ts'
import { occur } from '../schedules/occurrences.ts'
import { type Recurrings, recurrings } from '../schedules/recurrings.ts'
import { type Schedules, schedules } from '../schedules/schedules.ts'
import { type AdminRow, adminRows, breakerRows } from './admin-row.ts'
import type { Config } from './config/config.ts'
import { rulesMayBeAbsent } from './config/load.ts'
import { logBreakers } from './dispatch-log.ts'
import { openSigner } from './lineage.ts'
import { roomOf } from './room.ts'
import { breakerTable } from './routes.ts'
import { ruleNames } from './rule-names.ts'

/** Everything below the edges, put together: the one place that knows who needs whom. */
export interface Assembled {
  readonly deliver: Delivering
  readonly breakers: Breakers
  readonly rules: Rules
  readonly chains: Chains
  readonly quotas: Quotas
  readonly nodes: Nodes
  readonly retention: RetentionPolicies
  readonly schedules: Schedules
  readonly deliveries: Deliveries
  readonly recurrings: Recurrings
  readonly groups: Groups
  readonly gateway: Gateway
  readonly redrive: Redrive
  readonly cancelHeld: CancelHeld
  readonly signer: LineageSigner
  readonly handlers: Handlers
  readonly auditPolicy: () => AuditPolicy
  readonly redact: () => Redact
  readonly adminRow: AdminRow
  /** This process, as the owner of claims. */
  readonly node: string
}

export interface AssembleInput {
  /** The one in force: a reload puts another in its place. */
  readonly config: () => Config
  readonly env: Env
  readonly state: StateStore
  readonly audit: AuditStore
  /** Carries records over to the audit, if that is kept in another place than the state; answers how many. */
  readonly carryAudit: (owner: string, enough: AbortSignal) => Promise<number>
  readonly routes: Routes
  /** Reads the configuration, to be taken over together with the rules. Left out: it stays as it is. */
  readonly beside?: () => Beside | undefined
  readonly processEnv: Environment
  /** What `GET /v1/nodes` tells of this process. */
  readonly about: NodeAbout
  /** Told of every run that ended and every attempt made. */
  readonly stats: Observe & { attempt(seen: AttemptSeen): void }
  readonly stopping: AbortSignal
  /** Makes a loop run now. */
  readonly nudge: (loop: string) => void
}

/** The file's chains do not go with those made through the API: the configuration alone could not tell. */
export class ChainsNotLoaded extends Error {
  override readonly name = 'ChainsNotLoaded'
  constructor(issues: readonly DefinitionIssue[]) {
    super(issues.map(chainProblem).join('\n'))
  }
}

export const chainProblem = ({ path, message }: DefinitionIssue): string =>
  `chains.definitions.${path.join('.')}: ${message}`

/** Throws RulesNotLoaded, ChainsNotLoaded, and what the store throws. */
export async function assemble(input: AssembleInput): Promise<Assembled> {
  const { config, env, state, audit, stopping } = input
  const { clock, newId } = env
  const now = clock.now
  const node = `node-${newId()}`

  // Compiled once per configuration: a reload of `[audit.redact]` takes effect with the next record.
  let compiled: { readonly from: Config; readonly redact: Redact } | undefined
  const redact = (): Redact => {
    const from = config()
    if (compiled?.from !== from) compiled = { from, redact: compileRedact(from.audit.redact) }
    return compiled.redact
  }
  const hide: Redact = (v) => redact()(v)
  const auditPolicy = (): AuditPolicy => {
    const { enabled, storePayload, redact: r } = config().audit
    return { enabled, storePayload, redact: redact(), placeholder: r.placeholder }
  }
  const adminRow = adminRows(auditPolicy, env)
  const record = (r: Recorded): readonly Op[] => recordOps(auditPolicy(), r)

  const breakers = createBreakers({
    control: await state.control(BREAKERS_TOPIC),
    env,
    breakers: breakerTable(config()),
    row: breakerRows(auditPolicy, env),
  })
  breakers.onChange(logBreakers(env.log, hide))
  const signer = await openSigner(config().lineage, await state.control(LINEAGE_TOPIC), env.random)
  const { backoffInitialMs, backoffMaxMs } = config().executor
  const room = roomOf(config())
  const deliver = createDeliver({
    mostResponseBytes: room.data,
    providers: input.routes,
    breakers,
    env,
    signer,
    backoff: { initialMs: backoffInitialMs, maxMs: backoffMaxMs },
    onAttempt: (a) => input.stats.attempt(a),
  })
  const providerNames = (): string[] => config().providers.map((p) => p.name)

  const settings = (): ReturnType<Parts['settings']> => settingsOf(config(), redact())
  const chains = createChains({
    forward: (letter, at) => forwardOps({ env, settings }, letter, at),
    dispatch: () => dispatcher,
    state,
    env,
    deliver,
    control: await state.control('chains'),
    switches: await state.control('chain_switches'),
    tests: comparisons,
    providers: providerNames,
    startedBy: (chain) => rules.starts().get(chain),
    audit: auditPolicy,
    config: () => {
      const { chains: c, executor, deadLetters } = config()
      return {
        defaultTimeoutSeconds: c.defaultTimeoutSeconds,
        mostStepBytes: room.data,
        mostEntries: room.entries,
        maxConcurrentAdvances: c.maxConcurrentAdvances,
        ...(c.maxConcurrentPerScope !== undefined && { maxConcurrentPerScope: c.maxConcurrentPerScope }),
        stepDeadlineSeconds: executor.deadlineSeconds,
        ...(deadLetters.ttlSeconds !== undefined && { deadLetterTtlSeconds: deadLetters.ttlSeconds }),
      }
    },
  })
  const wrong = chains.setDefinitions(config().chains.definitions).filter((i) => i.severity === 'error')
  if (wrong.length > 0) throw new ChainsNotLoaded(wrong)

  const rules = await openRules({
    directory: config().rules.directory,
    mayBeAbsent: rulesMayBeAbsent(config()),
    names: () => ruleNames(config(), chains.names()),
    ...(input.beside && { beside: input.beside }),
    env,
    control: await state.control('rules'),
    scopeControl: await state.control('rule_scopes'),
    hotRules: () => config().hotRules,
    dispatchedBy: dispatchedLookup((name) => chains.definition(name)?.definition),
    processEnv: input.processEnv,
    defaults: { timezone: config().rules.defaultTimezone, envNames: config().rules.env, redact: hide },
  })

  const changed = (what: string, view: JsonObject, caller: string): AuditRow | undefined => adminRow(what, view, caller)
  const providerError = (name: string): string | undefined =>
    deliver.has(name) ? undefined : `no provider has this name${didYouMean(name, providerNames())}`
  const quotas = await openQuotas({ state, now, newId, enabled: config().quotas.enabled, providerError, changed })
  const retention = await openRetentionPolicies({ state, now, changed })
  const held = schedules({ state, now, newId, redact: hide, record })
  const recurringActions = recurrings({
    state,
    now,
    newId,
    redact: hide,
    maxPerScope: () => config().background.maxRecurringActionsPerTenant,
    providerError,
    changed,
  })

  const parts: Parts = {
    env,
    state,
    deliver,
    node,
    settings,
    audit: auditPolicy,
    stopping,
    observe: input.stats,
  }
  const sender = createSend(parts)
  const tools = {
    rules,
    chains,
    quotas,
    schedules: held,
    providerNames,
    canStart: (name: string) => chains.has(name) && !chains.disabled(name),
    isReentrantChain: (name: string) => chains.definition(name)?.definition.reentrant === true,
    runCounts: runCounts({ log: env.log, warned: (rule, limit) => input.stats.overLimit(rule, limit) }),
    adminRow,
    nudge: (loop: 'flush' | 'copy') => input.nudge(loop === 'copy' ? 'copies' : 'flush'),
  }
  const releases = createHeld(parts, tools, sender)
  const reap = reaper({
    policies: retention,
    audit,
    state,
    now,
    auditTtlSeconds: () => config().audit.ttlSeconds,
    executionTtlSeconds: () => config().chains.completedChainTtlSeconds,
    executions: (scope, before, limit) => chains.purge(scope, before, limit),
    deadLetters: purgeDeadLetters(state),
  })
  const nodes = openNodes({ state, env, node, about: input.about, rulesVersion: () => rules.current().version })
  const handlers: Handlers = {
    announce: () => nodes.announce(),
    release: (entry) => releases.release(entry),
    flush: (entry) => releases.flush(entry),
    resumeIntent: (entry) => sender.recover(entry),
    pullChains: () => chains.pull(),
    async occur(entry) {
      // Two checks and a second: an occurrence found later than that was missed by all nodes.
      const lateMs = () => config().background.recurringCheckIntervalSeconds * 2000 + 1000
      await occur({ state, now, newId, lateMs, record, isUnderWay: chains.isUnderWay }, entry)
      input.nudge('occurrences')
    },
    exhausted: (entry) => exhausted(parts, entry),
    cleanUp: (signal) => reap.cleanUp(signal),
    reap: (signal) => reap.reap(signal),
    carryAudit: (enough) => input.carryAudit(node, enough),
  }
  const gateway = createGateway(parts, tools, sender)
  const dispatcher = chainDispatcher(gateway, clock)
  const grouped = groups({ state, now, redact: hide, record })
  return {
    deliver,
    breakers,
    rules,
    chains,
    quotas,
    nodes,
    retention,
    schedules: held,
    deliveries: createDeliveries(parts),
    recurrings: recurringActions,
    groups: grouped,
    gateway,
    redrive: createRedrive(parts, chains, sender),
    cancelHeld: cancelHeld({ state, schedules: held, groups: grouped, chains }),
    signer,
    handlers,
    auditPolicy,
    redact,
    adminRow,
    node,
  }
}

function settingsOf(config: Config, redact: Redact): ReturnType<Parts['settings']> {
  const { rules, executor, background, deadLetters } = config
  return {
    defaultProvider: rules.defaultProvider,
    deadlineMs: executor.deadlineSeconds * 1000,
    holdMaxAttempts: background.holdMaxAttempts,
    holdMaxAgeMs: background.holdMaxAgeSeconds * 1000,
    deadLetterTtlMs: deadLetters.ttlSeconds === undefined ? undefined : deadLetters.ttlSeconds * 1000,
    deadLetterForwardTo: deadLetters.forwardTo,
    redact,
  }
}
