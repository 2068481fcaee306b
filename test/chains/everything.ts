import type { Chains } from '../../src/chains/chains.ts'
import { rootId } from '../../src/chains/model/start.ts'
import type { Dispatcher } from '../../src/chains/model/step-kind.ts'
import { canonicalJson, type Json, type JsonObject } from '../../src/core/json.ts'
import type { Receipt } from '../../src/core/provider.ts'
import type { StateStore } from '../../src/core/state.ts'
import {
  badRequest,
  OK,
  type Receiver,
  receiver,
  type Scripted,
  type Sent,
  scriptedProvider,
  unavailable,
} from '../fakes/provider.ts'
import { actionOf, both, choice, each, scope, start, step, type World, world } from './set-up.ts'

/*
 * Executions that between them use every kind of step and every policy, against a receiver that honours tokens: what has to come
 * out of them, whatever befalls the nodes that drive them.
 */

export const RUN = '019b8e4a-0000-7000-8000-000000000001'
const payload = { device_id: 'd1', list: ['x', 'y', 'z'], value: 21 }
const fixed = (max_attempts: number, ms: number) => ({ retry: { max_attempts, backoff: 'fixed', initial_ms: ms } })
const undo = (of: string) => ({ compensate: { provider: 'undo', action_type: 'undo', payload_template: { of } } })
const tell = (name: string, template: JsonObject, more: JsonObject = {}) =>
  step(name, 'ok', { payload_template: { step: name, ...template }, ...more })

/** One step after another; `bad`: whether its last step fails, and all is undone. */
const sequence = (name: string, bad: boolean) => ({
  name,
  timeout_seconds: 2000,
  attributes: { device: '{{origin.payload.device_id}}' },
  priority: 'high',
  steps: [
    { name: 'compute', set: { twice: ['{{origin.payload.value}}', '{{origin.payload.value}}'] } },
    tell('first', { v: '{{prev.body.twice}}' }, { ...fixed(5, 1000), ...undo('1 first {{result.body.n}}') }),
    choice('choose', { field: 'steps.first.body.n', eq: 1 }, 'group', 'never'),
    tell('never', {}),
    both(
      'group',
      [
        tell('a', { from: '{{steps.first.body}}' }, undo('2 a')),
        step('b', 'flaky', { payload_template: { step: 'b' }, ...fixed(4, 2000), ...undo('2 b') }),
        { name: 'kid', sub_chain: 'inner', ...undo('2 kid') },
        { name: 'nap', wait: { seconds: 3 } },
        { name: 'sum', set: { x: '{{chain_id}}' } },
      ],
      { max_concurrency: 3 },
      { timeout_seconds: 500 },
    ),
    each(
      'list',
      '{{origin.payload.list}}',
      {
        provider: 'ok',
        action_type: 'x',
        payload_template: { item: '{{item}}', at: '{{index}}' },
        ...undo('3 {{item}}'),
      },
      { max_concurrency: 2 },
    ),
    both('race', [tell('r1', {}), tell('r2', {}), { name: 'r3', wait: { seconds: 90 } }], { join: 'any' }),
    { name: 'pause', wait: { seconds: 2 } },
    { name: 'approve', wait_for_signal: { signal: 'go', timeout_seconds: 900 } },
    {
      name: 'again',
      dispatch: {
        action_type: 'reading',
        payload: { by: '{{steps.approve.body.by}}' },
        metadata: { k: '{{chain_id}}' },
      },
    },
    tell('look', {}, { cache_ttl_seconds: 1500, cache_key: 'one' }),
    step('may', 'bad', { payload_template: { step: 'may' }, allow_failure: true }),
    step('else', 'bad', { payload_template: { step: 'else' }, on_failure: 'goto:late' }),
    tell('skipped', {}),
    tell(
      'late',
      { seen: '{{steps.list.body.succeeded}}' },
      { delay_seconds: 2, timeout_seconds: 30, ...undo('4 late') },
    ),
    step('last', bad ? 'bad' : 'ok', { payload_template: { step: 'last' }, on_failure: 'abort' }),
    { name: 'over', end: { status: 'completed' } },
  ],
})
const inner = {
  name: 'inner',
  timeout_seconds: 1000,
  steps: [tell('i1', { of: '{{origin.payload.device_id}}' }), tell('i2', { p: '{{prev.body.n}}' })],
}
/** Branches at once, a group that is tried again as a whole, and a failure that is left behind as a letter. */
const graph = {
  name: 'graph',
  timeout_seconds: 2000,
  steps: [
    tell('a', {}, { needs: [] }),
    step('b', 'flaky', { payload_template: { step: 'b' }, needs: [], ...fixed(4, 1000) }),
    { name: 'c', needs: ['a'], wait: { seconds: 1 } },
    both(
      'g',
      [tell('x', {}), step('y', 'twice', { payload_template: { step: 'y' } })],
      {},
      { needs: ['a', 'b'], ...fixed(4, 1000) },
    ),
    step('d', 'bad', { payload_template: { step: 'd' }, needs: ['b'], on_failure: 'dead_letter' }),
    tell('e', { g: '{{steps.g.success}}', d: '{{steps.d.success}}' }, { needs: ['c', 'g', 'd'] }),
  ],
}
/** As somebody may edit them while executions are under way. */
const edited = ['works', 'fails', 'inner', 'graph'].map((name) => ({ name, steps: [step('edited', 'ok')] }))

export const chains = ['works', 'fails', 'graph'] as const
export type ChainName = (typeof chains)[number]
export const ends: { readonly [name in ChainName]: string } = {
  works: 'partially_completed',
  fails: 'compensated',
  graph: 'partially_completed',
}

export interface Everything {
  readonly w: World
  readonly taken: Receiver
  readonly dispatch: Dispatcher
  /** What was undone, each once, in order. */
  readonly undone: readonly string[]
  /** Effects: a token and what was asked under it, but for the moment it was first asked, and what is made of that. */
  effects(): readonly string[]
}

/** `latency`: how long an endpoint takes before it acts, and again before it answers. Milliseconds. */
export async function everything(latency: () => number = () => 0): Promise<Everything> {
  const taken = receiver()
  const undone: string[] = []
  /** How often each token came: what an endpoint answers is a matter of that, so that it does not depend on who asks. */
  const times = new Map<string, number>()
  const counted = (sent: Sent): number => {
    const n = (times.get(sent.token) ?? 0) + 1
    times.set(sent.token, n)
    return n
  }
  const ok = (s: Sent): Receipt => {
    taken.take(s)
    return { status: 200, body: { n: 1 } }
  }
  const flaky = (s: Sent): Receipt => {
    if (counted(s) === 1) throw unavailable()
    taken.take(s)
    return OK
  }
  let asked = 0
  const given: { [name: string]: (s: Sent) => Receipt } = {
    ok,
    flaky,
    bad: (s) => {
      taken.take(s)
      throw badRequest()
    },
    // Refuses the first token that comes, and takes the next.
    twice: (s) => {
      if (counted(s) === 1) asked++
      if (asked === 1) throw badRequest()
      taken.take(s)
      return OK
    },
    undo: (s) => {
      if (taken.take(s)) undone.push(String((s.request as { payload: JsonObject }).payload['of']))
      return OK
    },
  }
  const late =
    (act: (s: Sent) => Receipt): Scripted =>
    async (s) => {
      const [before, then] = [latency(), latency()]
      if (before > 0) await w.env.clock.sleep(before)
      try {
        return act(s)
      } finally {
        if (then > 0) await w.env.clock.sleep(then)
      }
    }
  const render = (a: { payload: Json; created_at: string; action_type: string }) =>
    ({ payload: a.payload, type: a.action_type, created_at: a.created_at }) as Json
  const w = await world(
    [sequence('works', false), sequence('fails', true), inner, graph],
    Object.fromEntries(
      Object.entries(given).map(([name, act]) => [name, { provider: scriptedProvider(name, [late(act)], { render }) }]),
    ),
  )
  const dispatch: Dispatcher = {
    dispatch: async (action, { token }) => {
      taken.take({ token, request: { ...action } as Json })
      return {
        result: { success: true, fallback: false, status: null, body: { outcome: 'executed' } },
        retryable: false,
        unknown: false,
      }
    },
  }
  return {
    w: {
      ...w,
      node: async (store, more) => {
        const node = await w.node(store, { dispatch, ...more })
        return node
      },
    },
    taken,
    dispatch,
    undone,
    effects: () =>
      [...taken.effects]
        .map(([token, body]) => {
          const { created_at: _at, id: _id, ...rest } = body as JsonObject
          return `${token} ${canonicalJson(rest)}`
        })
        .sort(),
  }
}

/** A node whose definitions were edited since. */
export async function editedNode({ w }: Everything) {
  const node = await w.node()
  node.setDefinitions(edited)
  return node
}

/** Nothing is due, now or ever. */
export const isOver = async (w: World): Promise<boolean> =>
  !(await w.memory.state.depths()).some((d) => d.kind === 'run')

/** Starts one, and lets some time pass with a node that looks what is due; somebody says `go` when half of it has. */
export async function play(
  { w }: Everything,
  name: ChainName,
  node: Chains,
  store: StateStore,
  seconds = 100,
): Promise<void> {
  const id = rootId(w.env.clock.now(), RUN, 'r1')
  // Whose process dies in it does not hear of it; that there is one is for who finds it.
  await start(w, node, store, name, actionOf(payload, 'a'), RUN).catch(() => undefined)
  const other = await w.node()
  for (let s = 0; s < seconds; s += 5) {
    await w.env.clock.advance(5000)
    await node.pull()
    if (s > 20 && (await isOver(w))) return
    // There may be no execution yet, or it may have ended: then there is nobody to say it to.
    if (s === 20 && name !== 'graph')
      await other.signal(scope, id, { name: 'go', payload: null, by: 'ann' }).catch(() => undefined)
  }
}
