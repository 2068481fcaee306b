import { kinds } from '../core/hold.ts'
import type { Op } from '../core/state.ts'
import type { Deliver } from '../delivery/delivery.ts'
import { LEASE_MS } from '../delivery/lease.ts'
import type { Chains, StartChain, Started } from './chains.ts'
import { startRun } from './decide/begin.ts'
import { compileChain, versionOf } from './definitions/compile.ts'
import { createDefinitions, type DefinitionsDeps } from './definitions/definitions.ts'
import type { Driver } from './drive/driver.ts'
import { createIntake } from './drive/intake.ts'
import { createNewborn } from './drive/newborn.ts'
import type { Chain } from './model/compiled.ts'
import type { ChainDefinition } from './model/definition.ts'
import type { Forward } from './model/records.ts'
import { rootId } from './model/start.ts'
import type { Dispatcher } from './model/step-kind.ts'
import { createOperations } from './operations.ts'
import { createReopening } from './revive/reopen.ts'
import { createSummary } from './views/summary.ts'
import { createViews } from './views/views.ts'

export interface ChainsConfig {
  readonly defaultTimeoutSeconds: number
  /** Of what goes into a step, and of what it gives; any if left out. Bytes. */
  readonly mostStepBytes?: number
  /** Entries in one commit of an execution, about; any if left out. */
  readonly mostEntries?: number
  /** Executions this node drives at once; more wait their turn in the store. */
  readonly maxConcurrentAdvances: number
  /** `[executor].deadline_seconds`: of one step. */
  readonly stepDeadlineSeconds: number
  readonly deadLetterTtlSeconds?: number
  /** Executions of one scope that nodes drive at once, in all. Left out = no limit. */
  readonly maxConcurrentPerScope?: number
}
export interface ChainsDeps extends DefinitionsDeps {
  readonly deliver: Deliver
  readonly config: () => ChainsConfig
  readonly forward: Forward
  /** The way back to the rules: asked for when a step dispatches, as it is built upon this. */
  readonly dispatch: () => Dispatcher
}

/** Compiled definitions kept at most; executions under way may have begun with many versions. */
const COMPILED_KEPT = 500

export function createChains(deps: ChainsDeps): Chains {
  const { state, env, config } = deps
  // Of this process: a claim of an earlier one under the same name must not look like ours.
  const owner = `chains-${env.newId()}`
  const compiled = new Map<string, Chain>()
  // Asked first: the file's definitions are the same objects each time, and hashing one takes longer than a start.
  const byObject = new WeakMap<ChainDefinition, Chain>()
  const definitions = createDefinitions(deps)
  const newborn = createNewborn(env.clock)
  const seats = () => config().maxConcurrentAdvances
  const intake = createIntake({ state, env, owner, newborn, seats, tools: () => tools })

  const chainOf = (d: ChainDefinition): Chain => {
    const same = byObject.get(d)
    if (same) return same
    const version = versionOf(d)
    const chain = compiled.get(version) ?? compileChain(d, deps.tests)
    if (compiled.size >= COMPILED_KEPT) compiled.clear()
    compiled.set(version, chain)
    byObject.set(d, chain)
    return chain
  }
  const tools: Driver = {
    state,
    env,
    deliver: deps.deliver,
    owner,
    newId: env.newId,
    chainOf,
    audit: deps.audit,
    defaultTimeoutMs: () => config().defaultTimeoutSeconds * 1000,
    mostEntries: () => config().mostEntries ?? Number.POSITIVE_INFINITY,
    mostStepBytes: () => config().mostStepBytes ?? Number.POSITIVE_INFINITY,
    stepDeadlineMs: () => config().stepDeadlineSeconds * 1000,
    deadLetterTtlMs: () => {
      const { deadLetterTtlSeconds } = config()
      return deadLetterTtlSeconds === undefined ? undefined : deadLetterTtlSeconds * 1000
    },
    forward: deps.forward,
    maxPerScope: () => config().maxConcurrentPerScope,
    random: () => env.random.float(),
    start: (s) => startRun(s, tools),
    dispatch: { dispatch: (action, about) => deps.dispatch().dispatch(action, about) },
    born: (child) => {
      newborn.keep(child, 0) // only for as long as it takes to begin it
      intake.track(intake.begin(child.scope, child.run.id))
    },
    woke: () => intake.track(intake.pull()),
    rests: intake.rests,
    lacked: intake.lacked,
    poke: intake.poke,
  }

  function startChain(s: StartChain): Started | undefined {
    const all = definitions.closureOf(s.chain)
    if (!all) return undefined
    const definition = all[0]!
    const chain = chainOf(definition)
    const id = rootId(s.now, s.runId, s.rule)
    const { ops, loaded } = tools.start({
      id,
      scope: s.scope,
      chain,
      definitions: all,
      origin: s.action,
      ...(s.lineage && { lineage: s.lineage }),
      runId: s.runId,
      rule: s.rule,
      timeoutMs:
        definition.timeout_seconds === undefined ? tools.defaultTimeoutMs() : definition.timeout_seconds * 1000,
      now: s.now,
    })
    newborn.keep(loaded, bytesOf(ops))
    return {
      ops,
      claim: { owner, until: s.now + LEASE_MS },
      chainId: id,
      chainName: chain.name,
      totalSteps: chain.steps.size,
      firstStep: chain.first.join(', '),
    }
  }

  return {
    startOps: startChain,
    begin(scope, id, claim) {
      const begun = intake.begin(scope, id, claim)
      intake.track(begun)
      return begun
    },
    pull: intake.pull,
    room: () => intake.free,
    driven: () => intake.driven,
    stop: intake.stop,
    ...createViews(deps),
    ...createSummary(deps),
    ...createOperations({ ...deps, poke: tools.poke, woke: tools.woke, mostEntries: tools.mostEntries }),
    ...createReopening({
      ...deps,
      owner,
      tools,
      begin: (scope, id) => intake.track(intake.begin(scope, id)),
      poke: tools.poke,
      woke: tools.woke,
    }),
    ...definitions.api,
  }
}

/** About what is kept of an execution until its commit: what it begins with is most of it. */
const bytesOf = (ops: readonly Op[]): number =>
  ops.reduce((sum, op) => sum + (op.op === 'put' && op.kind === kinds.step ? op.value.length : 0), 0)
