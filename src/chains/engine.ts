import type { Scope } from '../core/action.ts'
import type { Env } from '../core/env.ts'
import { kinds } from '../core/hold.ts'
import type { Control, Entry, StateStore } from '../core/state.ts'
import type { Deliver } from '../delivery/delivery.ts'
import { keepLease, LEASE_MS } from '../delivery/lease.ts'
import type { Chains, Held, StartChain, Started } from './chains.ts'
import { type Chain, compileChain, versionOf } from './compile.ts'
import type { BranchTests, ChainDefinition } from './definition.ts'
import { createDefinitions } from './definitions.ts'
import { type Driver, drive } from './drive.ts'
import { load, readRun } from './load.ts'
import { createOperations } from './operations.ts'
import type { AuditPolicy, Forward } from './records.ts'
import { hasEnded } from './run.ts'
import { rootId, startOps } from './start.ts'
import { createViews } from './views.ts'

export interface ChainsConfig {
  readonly defaultTimeoutSeconds: number
  /** Executions this node drives at once; more wait their turn in the store. */
  readonly maxConcurrentAdvances: number
  /** `[executor].deadline_seconds`: of one step. */
  readonly stepDeadlineSeconds: number
  readonly deadLetterTtlSeconds?: number
}
export interface ChainsDeps {
  readonly state: StateStore
  readonly env: Env
  readonly deliver: Deliver
  /** `state.control('chains')`: the definitions made through the API. */
  readonly control: Control
  readonly tests: BranchTests
  /** Names of the providers in force. */
  readonly providers: () => Iterable<string>
  readonly audit: () => AuditPolicy
  readonly config: () => ChainsConfig
  readonly forward: Forward
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
  const active = new Map<string, { readonly interrupt: AbortController; readonly done: Promise<void> }>()
  let stopping = false
  let parked = false
  let pulling: Promise<number> | undefined
  let again = false

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
    stepDeadlineMs: () => config().stepDeadlineSeconds * 1000,
    deadLetterTtlMs: () => {
      const { deadLetterTtlSeconds } = config()
      return deadLetterTtlSeconds === undefined ? undefined : deadLetterTtlSeconds * 1000
    },
    forward: deps.forward,
    born: (at, child) => track(begin(at.scope, child)),
    woke: () => track(pull()),
  }
  /** What nobody awaits: a stop waits for it. */
  const loose = new Set<Promise<unknown>>()
  function track(p: Promise<unknown>): void {
    loose.add(p)
    void p.finally(() => loose.delete(p))
  }
  const room = (): number => (stopping ? 0 : Math.max(0, config().maxConcurrentAdvances - active.size))

  function startChain(s: StartChain): Started | undefined {
    const all = definitions.closureOf(s.chain)
    if (!all) return undefined
    const definition = all[0]!
    const chain = chainOf(definition)
    const id = rootId(s.auditId, s.runId, s.rule)
    const ops = startOps(
      {
        id,
        scope: s.scope,
        chain,
        definitions: all,
        origin: s.action,
        runId: s.runId,
        rule: s.rule,
        ...(s.lineage && { lineage: s.lineage }),
        timeoutMs:
          definition.timeout_seconds === undefined ? tools.defaultTimeoutMs() : definition.timeout_seconds * 1000,
        now: s.now,
      },
      tools,
    )
    return {
      ops,
      claim: { owner, until: s.now + LEASE_MS },
      chainId: id,
      chainName: chain.name,
      totalSteps: chain.steps.size,
      firstStep: chain.first,
    }
  }

  async function begin(scope: Scope, id: string, born?: Held): Promise<void> {
    try {
      const [entry] = await state.get([{ kind: kinds.run, scope, id }])
      // Gone on without us: somebody else has it.
      if (entry?.claim?.owner !== owner || (born && entry.claim.number !== born.number)) return
      await take(entry, entry.claim, true)
    } catch (e) {
      env.log.error(
        { chain_id: id, err: e },
        'an execution could not be begun; it is due again when its claim runs out',
      )
    }
  }
  const claimed = (entry: Entry & { readonly claim: Held }): Promise<void> => take(entry, entry.claim, false)

  /** Drives one claimed execution. Never rejects. */
  function take(entry: Entry, claim: Held, fresh: boolean): Promise<void> {
    const { id } = entry.key
    // Claimed anew by ourselves: the old driver has lost its claim and is about to notice.
    const old = active.get(id)
    if (old) return old.done.then(() => take(entry, claim, fresh))
    if (room() === 0) {
      parked = true
      return park(entry, claim)
    }
    const interrupt = new AbortController()
    const done = run(entry, claim, fresh, interrupt.signal).finally(() => {
      active.delete(id)
      if (parked && room() > 0) {
        parked = false
        track(pull())
      }
    })
    active.set(id, { interrupt, done })
    return done
  }

  async function run(entry: Entry, claim: Held, fresh: boolean, interrupt: AbortSignal): Promise<void> {
    const { key } = entry
    const lease = keepLease({ state, clock: env.clock }, key, claim)
    try {
      const record = readRun(entry.value)
      if (hasEnded(record)) return
      const loaded = await load(state, key.scope, record, chainOf)
      if (loaded) await drive(tools, loaded, { lease, fresh, interrupt, stopping: () => stopping })
      else env.log.error({ chain_id: key.id }, 'what an execution began with is gone, and so it cannot go on')
    } catch (e) {
      // The claim is left to run out: that is the pause before another try, and the deadline ends the tries.
      env.log.error(
        { chain_id: key.id, err: e },
        'an execution could not go on; it is due again when its claim runs out',
      )
    } finally {
      lease.stop()
    }
  }

  /** Gives back what there is no room for: due at once, for whoever has room first. */
  async function park(entry: Entry, claim: Held): Promise<void> {
    const { kind, scope, id } = entry.key
    try {
      await state.commit(scope, [{ op: 'touch', kind, id, ifClaim: claim, dueAt: env.clock.now() }])
    } catch (e) {
      env.log.warn(
        { chain_id: id, err: e },
        'an execution could not be parked; it is due again when its claim runs out',
      )
    }
  }

  function pull(): Promise<number> {
    // One at a time: what came meanwhile is seen by the next.
    if (pulling) {
      again = true
      return pulling
    }
    pulling = pullOnce().finally(() => {
      pulling = undefined
      if (again) {
        again = false
        track(pull())
      }
    })
    return pulling
  }
  async function pullOnce(): Promise<number> {
    const limit = room()
    if (limit === 0) {
      parked ||= !stopping
      return 0
    }
    try {
      const due = await state.claim(kinds.run, { owner, leaseMs: LEASE_MS, limit })
      if (due.length === limit) parked = true
      for (const entry of due) track(claimed(entry))
      return due.length
    } catch (e) {
      env.log.warn({ err: e }, 'executions that are due could not be claimed')
      return 0
    }
  }

  return {
    startOps: startChain,
    begin(scope, id, claim) {
      const begun = begin(scope, id, claim)
      track(begun)
      return begun
    },
    pull,
    claimed,
    room,
    async stop() {
      stopping = true
      for (const a of active.values()) a.interrupt.abort()
      while (active.size + loose.size > 0) await Promise.all([...loose, ...[...active.values()].map((a) => a.done)])
    },
    ...createViews(deps),
    ...createOperations({
      ...deps,
      owner,
      chainOf,
      interrupt: (id) => active.get(id)?.interrupt.abort(),
      woke: tools.woke,
      begin: (scope, id) => track(begin(scope, id)),
    }),
    ...definitions.api,
  }
}
