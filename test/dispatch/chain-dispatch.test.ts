import { describe, expect, it } from 'vitest'
import type { Action } from '../../src/core/action.ts'
import { Problem, StateUnavailable, StateUnknown } from '../../src/core/errors.ts'
import type { JsonObject } from '../../src/core/json.ts'
import { newLineage } from '../../src/core/lineage.ts'
import { outcomeTags } from '../../src/core/outcome.ts'
import { chainDispatcher } from '../../src/dispatch/chain-dispatch.ts'
import type { Answer, DispatchRequest } from '../../src/dispatch/gateway.ts'
import { actionOf } from '../chains/set-up.ts'
import { testEnv } from '../fakes/env.ts'
import { type House, type HouseOptions, SCOPE, testHouse } from '../fakes/house.ts'
import {
  badRequest,
  deaf,
  OK,
  type Receiver,
  receiver,
  type Scripted,
  scriptedProvider,
  serverError,
} from '../fakes/provider.ts'
import { type Crash, crashing, memoryState } from '../fakes/store.ts'
import { chainsToml } from '../fakes/toml.ts'

const tells = (more: JsonObject = {}, dispatch: JsonObject = {}): JsonObject => ({
  name: 'tell',
  dispatch: { action_type: 'told', payload: { no: '{{origin.payload.no}}' }, ...dispatch },
  ...more,
})
const sends = (name: string, more: JsonObject = {}): JsonObject => ({
  name,
  provider: 'out',
  action_type: name,
  ...more,
})
const rule = (name: string, type: string, action: string) =>
  `  - { name: ${name}, condition: { field: action.action_type, eq: ${type} }, action: ${action} }\n`
const START = rule('start', 'order', '{ type: chain, chain: c }')

function house(
  steps: readonly JsonObject[],
  more: string,
  options: HouseOptions & { readonly chain?: JsonObject } = {},
) {
  const { chain = {}, ...rest } = options
  return testHouse({
    rules: `rules:\n${START}${more}`,
    providers: [scriptedProvider('out', [OK])],
    chains: chainsToml([{ name: 'c', ...chain, steps }]),
    ...rest,
  })
}
async function run(h: House, no = 1): Promise<string> {
  const outcome = await h.dispatch({ action_type: 'order', payload: { no } })
  if (outcome.outcome !== 'chain_started') throw new Error(JSON.stringify(outcome))
  await h.env.clock.settle()
  return outcome.chain_id
}
const told = async (h: House, id: string) => {
  const view = await h.chains.get(SCOPE, id)
  const step = (view!['steps'] as JsonObject[]).findLast((s) => s['name'] === 'tell')!
  return { status: view!['status'], step: step['status'], output: step['output'] as JsonObject, view: step }
}

describe('a dispatch step', () => {
  it('gives an action of its own to the rules, which decide as for anybody', async () => {
    const out = scriptedProvider('out', [{ status: 200, body: { got: 'it' } }])
    const h = await house(
      [
        tells({}, { metadata: { by: '{{chain_id}}' } }),
        sends('after', { payload_template: { saw: '{{prev.body.response.body.got}}' } }),
      ],
      rule('send', 'told', '{ type: reroute, target_provider: out }'),
      {
        providers: [out],
      },
    )
    const id = await run(h, 7)
    expect(await told(h, id)).toMatchObject({
      status: 'completed',
      step: 'completed',
      output: { status: 200, body: { outcome: 'rerouted', rule: 'send', provider: 'out' } },
    })
    expect(out.sent.map((s) => s.request)).toMatchObject([{ payload: { no: 7 } }, { payload: { saw: 'it' } }])
    const record = (await h.records()).find((r) => r.action_type === 'told')!
    expect(record).toMatchObject({ kind: 'dispatch', caller: 'chain:c', rule: 'send', metadata: { by: id } })
    await h.stop()
  })

  it('what the rules make of it is what it gives: done, held, refused', async () => {
    const ends: [string, string, JsonObject][] = [
      ['{ type: suppress }', 'completed', { success: true, body: { outcome: 'suppressed' } }],
      ['{ type: deny }', 'failed', { success: false, error: { code: 'denied' } }],
      ['{ type: schedule, delay_seconds: 60 }', 'completed', { success: true, body: { outcome: 'scheduled' } }],
      ['{ type: reroute, target_provider: bad }', 'failed', { success: false, error: { code: 'http_400' } }],
    ]
    for (const [action, status, output] of ends) {
      const providers = [scriptedProvider('out', [OK]), scriptedProvider('bad', [badRequest()])]
      const h = await house([tells()], rule('r', 'told', action), { providers })
      expect(await told(h, await run(h)), action).toMatchObject({ status, step: status, output })
      await h.stop()
    }
  })

  it('a limit is for the retry policy of the step', async () => {
    const throttle = rule('limit', 'told', '{ type: throttle, max_count: 1, window_seconds: 60 }')
    const send = rule('send', 'told', '{ type: reroute, target_provider: out }')
    const retry = { max_attempts: 2, backoff: 'fixed', initial_ms: 100 }
    const out = scriptedProvider('out', [OK])
    const h = await house([tells({ retry })], throttle + send, { providers: [out] })
    const [a, b] = [await run(h, 1), await run(h, 2)]
    expect(await told(h, a)).toMatchObject({ status: 'completed' })
    expect(await told(h, b)).toMatchObject({ view: { attempts: 1 } })
    // Its own back-off would be over long before: what the limit said counts.
    await h.env.clock.advance(61_000)
    expect(await told(h, b)).toMatchObject({ status: 'completed', output: { body: { outcome: 'rerouted' } } })
    expect(out.sent).toHaveLength(2)
    // Without a policy it fails, and says with what.
    const bare = await house([tells()], throttle + send)
    await run(bare, 1)
    expect(await told(bare, await run(bare, 2))).toMatchObject({
      status: 'failed',
      output: { status: 429, error: { code: 'throttled' } },
    })
    await Promise.all([h.stop(), bare.stop()])
  })

  it('tried again after an end that nobody knows, it goes on with the run that is there, under its token', async () => {
    const taken = receiver()
    let calls = 0
    const lost: Scripted = (sent) => {
      taken.take(sent)
      if (++calls === 1) throw serverError()
      return OK
    }
    const retry = { max_attempts: 2, backoff: 'fixed', initial_ms: 100 }
    const h = await house([tells({ retry })], rule('send', 'told', '{ type: reroute, target_provider: out }'), {
      providers: [scriptedProvider('out', [lost])],
      route: { maxRetries: 0 },
    })
    const id = await run(h)
    await h.env.clock.advance(1000)
    expect(await told(h, id)).toMatchObject({ status: 'completed', view: { attempts: 2 } })
    expect(calls).toBe(2)
    expect(taken.effects.size).toBe(1)
    expect(await h.stored('dead_letter')).toEqual([])
    await h.stop()
  })

  it('is given up at the end of its time, and may have been done', async () => {
    const h = await house(
      [tells({ timeout_seconds: 2, compensate: { provider: 'undo', action_type: 'untell' } })],
      rule('send', 'told', '{ type: reroute, target_provider: out }'),
      { providers: [scriptedProvider('out', [deaf]), scriptedProvider('undo', [OK])] },
    )
    const id = await run(h)
    await h.env.clock.advance(2000)
    await h.env.clock.settle()
    expect(await told(h, id)).toMatchObject({
      status: 'compensated',
      output: { status: 504, error: { code: 'timeout' } },
    })
    await h.stop()
  })

  it('one that comes back to the rule that started it is a loop, named', async () => {
    const h = await house([tells({}, { action_type: 'order' })], '')
    const id = await run(h)
    expect(await told(h, id)).toMatchObject({
      status: 'failed',
      output: {
        status: 508,
        error: { code: 'loop_detected' },
        body: { outcome: 'loop_detected', cycle: ['rule:start', 'chain:c', 'rule:start'] },
      },
    })
    expect((await h.chains.list(SCOPE, { limit: 9 })).chains).toHaveLength(1)
    await h.stop()
  })

  it('one that starts its own chain by another rule is a loop too, unless the chain is reentrant; then hops end it', async () => {
    const again = rule('again', 'told', '{ type: chain, chain: c }')
    const h = await house([tells()], again)
    expect(await told(h, await run(h))).toMatchObject({
      output: { body: { outcome: 'loop_detected', cycle: ['chain:c', 'chain:c'] } },
    })
    await h.stop()
    const marked = again.replace('}, action', '}, reentrant: true, action')
    const r = await house([tells()], marked, { chain: { reentrant: true } })
    const first = await run(r)
    for (let i = 0; i < 12; i++) await r.env.clock.settle()
    expect(await told(r, first)).toMatchObject({ status: 'completed', output: { body: { outcome: 'chain_started' } } })
    const all = (await r.chains.list(SCOPE, { limit: 99 })).chains
    // The caller's, and one for each hop that may be made.
    expect(all.map((c) => c['status']).toSorted()).toEqual([...Array(8).fill('completed'), 'failed'])
    await r.stop()
  })

  it('a sub-chain that comes round by way of what was dispatched is refused', async () => {
    const chains = chainsToml([
      { name: 'c', steps: [tells()] },
      { name: 'd', steps: [{ name: 'sub', sub_chain: 'c' }] },
    ])
    const h = await testHouse({
      rules: `rules:\n${START}${rule('on', 'told', '{ type: chain, chain: d }')}`,
      providers: [scriptedProvider('out', [OK])],
      chains,
    })
    const id = await run(h)
    for (let i = 0; i < 4; i++) await h.env.clock.settle()
    expect(await told(h, id)).toMatchObject({ status: 'completed', output: { body: { outcome: 'chain_started' } } })
    const [other] = (await h.chains.list(SCOPE, { name: 'd', limit: 9 })).chains
    expect(other).toMatchObject({
      status: 'failed',
      error: { code: 'loop_detected', message: expect.stringContaining('chain:c → rule:on → chain:d → chain:c') },
    })
    expect((await h.chains.list(SCOPE, { name: 'c', limit: 9 })).chains).toHaveLength(1)
    await h.stop()
  })
})

describe('the door to the rules', () => {
  const action = { ...actionOf({}), action_type: 'told' }
  const door = (answer: () => Promise<Answer>) => {
    const asked: { caller: string; id: string | undefined; hops: number | undefined }[] = []
    const { clock } = testEnv()
    const gateway = {
      dispatch: (_: Action, r: DispatchRequest) => {
        asked.push({ caller: r.caller, id: r.idempotency?.id, hops: r.lineage?.hops })
        return answer()
      },
    }
    const how = { token: 'token', lineage: newLineage('run'), chain: 'c', deadline: clock.now() + 1000 }
    return { asked, now: clock.now(), dispatch: () => chainDispatcher(gateway, clock).dispatch(action, how) }
  }

  it('gives what is under way, or too much, time, and asks under the same key', async () => {
    const later = [
      [new Problem(409, 'idempotency_in_progress', 'under way', { retryAfterMs: 2500 }), 2500, true],
      [new Problem(503, 'contention', 'busy'), 1000, false],
      [new StateUnavailable('away'), 1000, false],
      [new StateUnknown('lost'), 1000, true],
    ] as const
    for (const [error, ms, unknown] of later) {
      const d = door(() => Promise.reject(error))
      expect(await d.dispatch()).toEqual({ askAt: d.now + ms, unknown })
      expect(d.asked).toEqual([{ caller: 'chain:c', id: '7:chain:c5:token', hops: 1 }])
    }
  })

  it('a refusal of the door is the failure of the step; anything else is a fault', async () => {
    const unknown = new Problem(422, 'provider_unknown', 'no such provider')
    expect(await door(() => Promise.reject(unknown)).dispatch()).toEqual({
      result: {
        success: false,
        fallback: false,
        status: 422,
        body: null,
        error: { code: 'provider_unknown', message: 'no such provider' },
      },
      retryable: false,
      unknown: false,
    })
    await expect(door(() => Promise.reject(new TypeError('oops'))).dispatch()).rejects.toThrow('oops')
  })

  it('says of every end whether it is done, and whether another time it may be', async () => {
    const meant: { [tag: string]: string } = {}
    for (const tag of outcomeTags) {
      const outcome = {
        action_id: 'a',
        run_id: 'r',
        outcome: tag,
        code: 'x',
        message: 'y',
        retryable: false,
        cycle: [],
      }
      const end = await door(async () => ({ outcome: outcome as never })).dispatch()
      if ('askAt' in end) throw new Error('asked again')
      meant[tag] = end.result.success ? 'done' : end.retryable ? 'later' : 'refused'
    }
    const of = (what: string) => Object.keys(meant).filter((t) => meant[t] === what)
    expect(of('later').toSorted()).toEqual(['circuit_open', 'quota_exceeded', 'throttled'])
    expect(of('refused').toSorted()).toEqual(['denied', 'dry_run', 'failed', 'hot', 'loop_detected'])
  })
})

describe('a dispatch step and a node that dies', () => {
  const steps = [tells({}, { dedup_key: 'order-{{origin.payload.no}}' }), sends('after')]
  const send = rule('send', 'told', '{ type: reroute, target_provider: out }')

  it('at whichever commit it dies, the action is dispatched once, and what the step gives is what came of it', async () => {
    let deaths = 0
    for (let n = 1; ; n++) {
      const crashed = await Promise.all(
        (['before', 'after', 'reply-lost'] satisfies Crash[]).map((when) => dies(n, when, receiver())),
      )
      if (!crashed.some((c) => c)) break
      deaths = n
    }
    expect(deaths).toBeGreaterThan(5)
  })

  /** False: there is no such commit. */
  async function dies(n: number, when: Crash, taken: Receiver): Promise<boolean> {
    const label = `commit ${n}, ${when}`
    const env = testEnv()
    const memory = await memoryState(env)
    let dying: ReturnType<typeof crashing> | undefined
    const out = scriptedProvider('out', [taken.accept()])
    const first = await house(steps, send, {
      env,
      memory,
      providers: [out],
      loops: false,
      wrap: (state) => {
        dying = crashing(state, n, when)
        return dying
      },
    })
    await first.dispatch({ action_type: 'order', payload: { no: 1 } }).catch(() => undefined)
    await env.clock.settle()
    if (!dying!.crashed) return false
    const second = await house(steps, send, { env, memory: await memory.restart(), providers: [out] })
    await env.clock.advance(120_000)
    const [view] = (await second.chains.list(SCOPE, { limit: 9 })).chains
    if (view) {
      const { status, output } = await told(second, view['chain_id'] as string)
      expect([status, output['success'], (output['body'] as JsonObject)['outcome']], label).toEqual([
        'completed',
        true,
        'rerouted',
      ])
      expect(taken.effects.size, label).toBe(2)
      const records = (await second.records()).filter((r) => r.action_type === 'told' && r.kind === 'dispatch')
      // One that was cut short is told as that, and what it came to in the end as a record of the same run.
      expect(records.at(-1)?.outcome, label).toBe('rerouted')
      expect(new Set(records.map((r) => r.run_id)).size, label).toBe(1)
    } else expect(taken.effects.size, label).toBe(0)
    await second.stop()
    return true
  }
})
