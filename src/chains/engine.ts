import type { Scope } from '../core/action.ts'
import type { Env } from '../core/env.ts'
import { kinds } from '../core/hold.ts'
import type { Control, Entry, StateStore } from '../core/state.ts'
import type { Deliver } from '../delivery/delivery.ts'
import { keepLease, LEASE_MS } from '../delivery/lease.ts'
import { createAlarm } from './alarm.ts'
import { startRun } from './begin.ts'
import type { Chains, Held, StartChain, Started } from './chains.ts'
import { type Chain, compileChain, versionOf } from './compile.ts'
import type { BranchTests, ChainDefinition } from './definition.ts'
import { createDefinitions } from './definitions.ts'
import { drive } from './drive.ts'
import type { Driver } from './driver.ts'
import { createHandle, type Handle } from './handle.ts'
import { type Loaded, load, readRun } from './loaded.ts'
import { createOperations } from './operations.ts'
import { AHEAD_MS, Places } from './places.ts'
import type { AuditPolicy, Forward } from './records.ts'
import { createReopening } from './reopen.ts'
import { hasEnded, type Run } from './run.ts'
import { rootId } from './start.ts'
import type { Dispatcher } from './step-kind.ts'
import { createSummary } from './summary.ts'
import { createViews } from './views.ts'

export interface ChainsConfig {
  readonly defaultTimeoutSeconds: number
  /** Executions this node drives at once; more wait their turn in the store. */
  readonly maxConcurrentAdvances: number
  /** `[executor].deadline_seconds`: of one step. */
  readonly stepDeadlineSeconds: number
  readonly deadLetterTtlSeconds?: number
  /** Executions of one scope that nodes drive at once, in all. Left out = no limit. */
  readonly maxConcurrentPerScope?: number
}
export interface ChainsDeps {
  readonly state: StateStore
  readonly env: Env
  readonly deliver: Deliver
  /** `state.control('chains')`: the definitions made through the API. */
  readonly control: Control
  /** `state.control('chain_switches')`: chains switched on and off by hand. */
  readonly switches: Control
  readonly tests: BranchTests
  /** Names of the providers in force. */
  readonly providers: () => Iterable<string>
  readonly audit: () => AuditPolicy
  readonly config: () => ChainsConfig
  readonly forward: Forward
  /** The way back to the rules: asked for when a step dispatches, as it is built upon this. */
  readonly dispatch: () => Dispatcher
}

/** Starts kept in memory between their ops being built and their commit. */
const BORN_KEPT = 10_000

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
  const active = new Map<string, { readonly handle: Handle; readonly done: Promise<void> }>()
  const born = new Map<string, Loaded>()
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
  const alarm = createAlarm(env.clock, () => track(pull()))
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
    maxPerScope: () => config().maxConcurrentPerScope,
    random: () => env.random.float(),
    start: (s) => {
      const { ops, loaded } = startRun(s, tools)
      remember(loaded)
      return { ops }
    },
    dispatch: { dispatch: (action, about) => deps.dispatch().dispatch(action, about) },
    born: (at, child) => track(begin(at.scope, child)),
    woke: () => track(pull()),
    rests: (dueAt) => alarm.at(dueAt),
    poke: (id) => active.get(id)?.handle.mail(),
  }
  /** What was just begun here need not be read again. Those whose commit was refused fall out in time. */
  function remember(loaded: Loaded): void {
    if (born.size >= BORN_KEPT) born.delete(born.keys().next().value!)
    born.set(loaded.run.id, loaded)
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
    const { ops } = tools.start({
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
    return {
      ops,
      claim: { owner, until: s.now + LEASE_MS },
      chainId: id,
      chainName: chain.name,
      totalSteps: chain.steps.size,
      firstStep: chain.first.join(', '),
    }
  }

  async function begin(scope: Scope, id: string, held?: Held): Promise<void> {
    try {
      const known = born.get(id)
      born.delete(id)
      if (known && held)
        return await take({ key: { kind: kinds.run, scope, id }, value: undefined, run: known.run }, held, known)
      const [entry] = await state.get([{ kind: kinds.run, scope, id }])
      // Gone on without us: somebody else has it.
      if (entry?.claim?.owner !== owner || (held && entry.claim.number !== held.number)) return
      await take(entry, entry.claim, known)
    } catch (e) {
      env.log.error(
        { chain_id: id, err: e },
        'an execution could not be begun; it is due again when its claim runs out',
      )
    }
  }
  const claimed = (entry: Entry & { readonly claim: Held }): Promise<void> => take(entry, entry.claim)

  /** Drives one claimed execution. Never rejects. */
  function take(entry: Taken, claim: Held, known?: Loaded): Promise<void> {
    const { id } = entry.key
    // Claimed anew by ourselves: the old driver has lost its claim and is about to notice.
    const old = active.get(id)
    if (old) return old.done.then(() => take(entry, claim, known))
    if (room() === 0) {
      parked = true
      return park(entry, claim)
    }
    const handle = createHandle()
    const done = run(entry, claim, known, handle).finally(() => {
      active.delete(id)
      if (parked && room() > 0) {
        parked = false
        track(pull())
      }
    })
    active.set(id, { handle, done })
    return done
  }

  async function run(entry: Taken, claim: Held, known: Loaded | undefined, handle: Handle): Promise<void> {
    const { key } = entry
    const record = known?.run ?? readRun(entry.value!)
    const places = new Places(tools, key.scope, key.id, claim)
    const lease = keepLease({ state, clock: env.clock }, key, claim, LEASE_MS, (until) => places.enter(until))
    try {
      if (hasEnded(record)) return
      const loaded = known ?? (await load(state, key.scope, record, chainOf))
      if (!loaded) {
        env.log.error({ chain_id: key.id }, 'what an execution began with is gone, and so it cannot go on')
        return
      }
      const fresh = known !== undefined
      await drive(tools, loaded, { lease, places, fresh, stopping: () => stopping, reach: (h) => handle.attach(h) })
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
  async function park(entry: Taken, claim: Held): Promise<void> {
    const { kind, scope, id } = entry.key
    const { priority } = entry.run ?? readRun(entry.value!)
    const dueAt = env.clock.now() - AHEAD_MS[priority]
    try {
      await state.commit(scope, [{ op: 'touch', kind, id, ifClaim: claim, dueAt }])
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
      alarm.stop()
      for (const a of active.values()) a.handle.stop()
      while (active.size + loose.size > 0) await Promise.all([...loose, ...[...active.values()].map((a) => a.done)])
    },
    ...createViews(deps),
    ...createSummary(deps),
    ...createOperations({ ...deps, poke: tools.poke, woke: tools.woke }),
    ...createReopening({ ...deps, owner, tools, begin: (scope, id) => track(begin(scope, id)), woke: tools.woke }),
    ...definitions.api,
  }
}

/** A claimed execution; one that was just born here is known without having been read. */
type Taken = Pick<Entry, 'key'> & { readonly value: string | undefined; readonly run?: Run }
