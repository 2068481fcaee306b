import { afterAll, beforeAll, beforeEach } from 'vitest'
import type { Scope } from '../../../src/core/action.ts'
import type { Entry, Op, OpResult, Refused, StateStore } from '../../../src/core/state.ts'
import type { FakeClock } from '../../fakes/clock.ts'
import { type TestEnv, testEnv } from '../../fakes/env.ts'
import { replyLost } from '../../fakes/store.ts'

export interface OpenState {
  (env: TestEnv): Promise<StateStore | Wired>
  /** Of the runs of a property, for a store where each is slow; the laws are the same code, and the whole number is run on a fast one. */
  readonly share?: number
}
export const runs = ({ share = 1 }: { readonly share?: number }, n: number): number => Math.ceil(n * share)
/** A store with a wire to its server on which answers can be lost. */
export interface Wired {
  readonly state: StateStore
  /** The next call of the kind reaches the server, which acts; its answer is lost. Resolves when it is, and the server is reached again. */
  lose(call: Lost): Promise<void>
}
export type Lost = 'commit' | 'claim' | 'read'

/** What every part of the contract works on: one store for the part, a scope and a kind of its own for each test. */
export interface Subject {
  readonly env: TestEnv
  readonly clock: FakeClock
  /** Makes a call whose answer is lost after the store acted: on the wire, where there is one. It is rejected. */
  losing<T>(call: Lost, act: (state: StateStore) => Promise<T>): Promise<T>
  state: StateStore
  scope: Scope
  kind: string
  /** Commits and expects that nothing refuses. */
  ok(...ops: Op[]): Promise<readonly OpResult[]>
  /** Commits and expects a refusal. */
  no(...ops: Op[]): Promise<Refused>
  get(id: string): Promise<Entry | undefined>
  put(id: string, more?: Partial<Extract<Op, { op: 'put' }>>): Op
  claim(more?: { owner?: string; leaseMs?: number; limit?: number; perScope?: number }): ReturnType<StateStore['claim']>
}

export function subject(open: OpenState): Subject {
  const env = testEnv()
  let n = 0
  let wire: Wired | undefined
  const s: Subject = {
    env,
    clock: env.clock,
    async losing(call, act) {
      if (wire === undefined) return act(replyLost(s.state, () => true, true))
      const lost = wire.lose(call)
      const answer = act(s.state)
      answer.catch(() => {}) // it is the caller's, who hears of it below
      await lost
      return answer
    },
    state: undefined as unknown as StateStore,
    scope: ['', ''],
    kind: '',
    async ok(...ops) {
      const done = await s.state.commit(s.scope, ops)
      if (!done.ok) throw new Error(`refused: ${JSON.stringify(done)}`)
      return done.results
    },
    async no(...ops) {
      const done = await s.state.commit(s.scope, ops)
      if (done.ok) throw new Error(`not refused: ${JSON.stringify(done)}`)
      return done
    },
    get: async (id) => (await s.state.get([{ kind: s.kind, scope: s.scope, id }]))[0],
    put: (id, more = {}) => ({ op: 'put', kind: s.kind, id, value: `value of ${id}`, version: env.newId(), ...more }),
    claim: (more = {}) => s.state.claim(s.kind, { owner: 'worker', leaseMs: 1000, limit: 100, ...more }),
  }
  beforeAll(async () => {
    const opened = await open(env)
    if ('state' in opened) wire = opened
    s.state = 'state' in opened ? opened.state : opened
  })
  afterAll(() => s.state.close())
  beforeEach(() => {
    n++
    s.scope = ['contract', `tenant ${n} ${env.newId()}`]
    s.kind = `kind ${n} ${env.newId()}`
  })
  return s
}
