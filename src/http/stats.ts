import { Counter, collectDefaultMetrics, Gauge, Registry } from 'prom-client'
import { isoTime } from '../core/clock.ts'
import type { Env } from '../core/env.ts'
import type { Problem } from '../core/errors.ts'
import type { Outcome } from '../core/outcome.ts'
import type { Depth } from '../core/state.ts'
import type { BreakerView } from '../delivery/breaker-view.ts'
import type { AttemptSeen } from '../delivery/leg.ts'
import { Durations } from './durations.ts'
import { storeTrouble } from './store-trouble.ts'

/** What only a look tells: taken when somebody asks. */
export interface Looked {
  /** Undefined: the store did not answer. */
  readonly depths: readonly Depth[] | undefined
  readonly breakers: readonly BreakerView[]
  /** Whether what lies on the disk is what is in force, and how many rules are. */
  readonly loads: { readonly rules: boolean; readonly config: boolean; readonly ruleCount: number }
}

/** Counts of this process since it started, for /v1/stats and /metrics. */
export interface Stats {
  /** RFC 3339. */
  readonly startedAt: string
  /** By outcome tag. */
  readonly outcomes: ReadonlyMap<string, number>
  /** Refused requests, by code. */
  readonly problems: ReadonlyMap<string, number>
  /** Attempts at providers. */
  readonly attempts: number
  /** One ended run. Times in milliseconds. */
  outcome(
    o: Outcome,
    about: {
      readonly kind: string
      readonly receivedAt: number
      readonly completedAt: number
      readonly provider?: string | undefined
    },
  ): void
  attempt(seen: AttemptSeen): void
  /** A run over a limit that only warns. */
  overLimit(rule: string, limit: string): void
  /** A refused request. */
  problem(p: Problem): void
  /** Prometheus text. */
  metrics(looked: Looked): Promise<string>
  readonly contentType: string
}

/** `process` false: without the process's own metrics, which watch the event loop and the garbage collector for as long as it lives. */
export function createStats(env: Env, opts: { readonly process?: boolean } = {}): Stats {
  const registers = [new Registry()]
  const [registry] = registers as [Registry]
  const outcomes = new Map<string, number>()
  const problems = new Map<string, number>()
  const ended = new Map<string, Map<string, number>>()
  const attempts = new Map<string, Map<string, number>>()
  const overLimits = new Map<string, Map<string, number>>()
  let attemptCount = 0
  const told = storeTrouble(env)

  // Counted in plain maps, which cost a tenth of a labelled counter, and handed over when somebody looks.
  counter('outcomes_total', 'Ended runs by kind and outcome', ['kind', 'outcome'], ended)
  counter('provider_attempts_total', 'Attempts at providers by result', ['provider', 'result'], attempts)
  counter('rule_limit_warnings_total', 'Runs of rules over a limit that only warns', ['rule', 'limit'], overLimits)
  new Counter({
    name: 'signalbox_problems_total',
    help: 'Refused requests by code',
    labelNames: ['code'],
    registers,
    collect() {
      this.reset()
      for (const [code, n] of problems) this.inc({ code }, n)
    },
  })
  function counter(name: string, help: string, labels: readonly [string, string], from: typeof ended): void {
    new Counter({
      name: `signalbox_${name}`,
      help,
      labelNames: [...labels],
      registers,
      collect() {
        this.reset()
        for (const [a, inner] of from) for (const [b, n] of inner) this.inc({ [labels[0]]: a, [labels[1]]: b }, n)
      },
    })
  }
  const durations = new Durations(
    'signalbox_run_duration_seconds',
    'From admission to the end, by kind of run',
    'kind',
    registers,
  )
  const latencies = new Durations(
    'signalbox_provider_attempt_duration_seconds',
    'One attempt at a provider',
    'provider',
    registers,
  )
  const gauge = <L extends string>(name: string, help: string, labelNames: readonly L[]): Gauge<L> =>
    new Gauge({ name: `signalbox_${name}`, help, labelNames: [...labelNames], registers })
  const up = gauge('state_up', 'Whether the state store answered this look', [])
  const waiting = gauge('queue_depth', 'Entries with a due time', ['kind'])
  const due = gauge('queue_due', 'Entries whose due time has come', ['kind'])
  const age = gauge('queue_oldest_due_age_seconds', 'How long the oldest due entry has been due', ['kind'])
  const breakerState = gauge('circuit_breaker_state', '1 for the state the breaker is in', ['provider', 'state'])
  const configOk = gauge('config_ok', 'Whether what lies on the disk is in force: 0 after an edit that was refused', [
    'what',
  ])
  const rules = gauge('rules', 'Rules loaded, those that are switched off too', [])
  if (opts.process !== false) collectDefaultMetrics({ register: registry })

  return {
    startedAt: isoTime(env.clock.now()),
    outcomes,
    problems,
    get attempts() {
      return attemptCount
    },
    outcome(o, { kind, receivedAt, completedAt }) {
      outcomes.set(o.outcome, (outcomes.get(o.outcome) ?? 0) + 1)
      bump(ended, kind, o.outcome)
      durations.took(kind, completedAt - receivedAt)
    },
    attempt({ provider, result, durationMs }) {
      attemptCount++
      bump(attempts, provider, result)
      latencies.took(provider, durationMs)
    },
    overLimit: (rule, limit) => bump(overLimits, rule, limit),
    problem(p) {
      problems.set(p.code, (problems.get(p.code) ?? 0) + 1)
      told(p)
    },
    async metrics({ depths, breakers, loads }) {
      const now = env.clock.now()
      for (const g of [waiting, due, age, breakerState]) g.reset()
      up.set(depths ? 1 : 0)
      for (const { kind, waiting: n, due: d, oldestDueAt } of depths ?? []) {
        waiting.set({ kind }, n)
        due.set({ kind }, d)
        age.set({ kind }, oldestDueAt === undefined ? 0 : Math.max(0, now - oldestDueAt) / 1000)
      }
      for (const { provider, state } of breakers)
        for (const s of ['closed', 'open', 'half_open']) breakerState.set({ provider, state: s }, s === state ? 1 : 0)
      configOk.set({ what: 'rules' }, loads.rules ? 1 : 0)
      configOk.set({ what: 'config' }, loads.config ? 1 : 0)
      rules.set(loads.ruleCount)
      return registry.metrics()
    },
    contentType: registry.contentType,
  }
}

function bump(counts: Map<string, Map<string, number>>, a: string, b: string): void {
  let inner = counts.get(a)
  if (!inner) {
    inner = new Map()
    counts.set(a, inner)
  }
  inner.set(b, (inner.get(b) ?? 0) + 1)
}
