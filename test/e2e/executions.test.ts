import { expect, test } from 'vitest'
import { seededRandom } from '../../src/core/ids.ts'
import type { Json, JsonObject } from '../../src/core/json.ts'
import { chainsToml } from '../fakes/toml.ts'
import { type Gateway, serve } from './gateway.ts'
import { place } from './place.ts'
import { receiver } from './receiver.ts'
import { sleep, until } from './run.ts'

const EACH = 12
const KILLS = 3
/** A wait is over soon after its time, whoever had it: no claim of a dead process is waited for. */
const GRACE_MS = 15_000

const send = (name: string, more: JsonObject = {}): JsonObject => ({
  name,
  provider: 'steps',
  action_type: name,
  payload_template: { n: '{{origin.payload.n}}', step: name },
  ...more,
})
const chains: { readonly [name: string]: { readonly steps: readonly JsonObject[]; readonly more?: JsonObject } } = {
  waits: { steps: [send('before'), { name: 'wait', wait: { seconds: 3 } }, send('after')] },
  asks: { steps: [send('before'), { name: 'ask', wait_for_signal: { signal: 'go' } }, send('after')] },
  runs: { steps: [send('one'), send('two'), send('three')] },
  locks: { steps: [send('one'), send('two')], more: { lock_by: 'payload.device' } },
  few: { steps: [send('one'), send('two')], more: { max_concurrent: 2 } },
  groups: {
    steps: [
      { name: 'both', parallel: { branches: [send('left'), send('right'), { name: 'sub', sub_chain: 'inner' }] } },
      {
        name: 'each',
        for_each: {
          items: [1, 2, 3],
          max_concurrency: 2,
          step: send('item', { payload_template: { n: '{{origin.payload.n}}', step: 'item {{index}}' } }),
        },
      },
    ],
  },
  inner: { steps: [send('inside')] },
}
/** Where an execution of each chain has its effects, each once. */
const expected: { readonly [chain: string]: readonly string[] } = {
  waits: ['after', 'before'],
  asks: ['after', 'before'],
  runs: ['one', 'three', 'two'],
  locks: ['one', 'two'],
  few: ['one', 'two'],
  groups: ['inside', 'item 0', 'item 1', 'item 2', 'left', 'right'],
}
const kinds = Object.keys(expected)
const seed = Number(process.env['SEED'] ?? Math.floor(Math.random() * 1e6))

test(`kill -9: executions that wait, run, stand in line and have groups open come to their end once (SEED=${seed})`, {
  timeout: 60_000,
}, async () => {
  console.log(`executions: SEED=${seed} repeats it`)
  const random = seededRandom(seed)
  const pace = seededRandom(seed + 1)
  const hook = await receiver(async () => {
    await sleep(pace.float() * 150)
    return { status: 200 }
  })
  const definitions = Object.entries(chains).map(([name, { steps, more }]): Json => ({ name, ...more, steps }))
  const rules = kinds.map(
    (k) =>
      `  - { name: ${k}, condition: { field: action.action_type, eq: ${k} }, action: { type: chain, chain: ${k} } }`,
  )
  const at = place({
    'gateway.toml': `[[providers]]\nname = "steps"\ntype = "webhook"\nurl = "${hook.url}/steps"\nmax_concurrent = 200\n\n${chainsToml(definitions)}`,
    'rules/rules.yaml': `rules:\n${rules.join('\n')}\n`,
  })

  const begun: { readonly id: string; readonly kind: string; readonly n: string; readonly device: string }[] = []
  const signal = async (g: Gateway, id: string) => {
    const told = await g.ask('POST', `/v1/chains/${id}/signal`, { signal: 'go' }).catch(() => undefined)
    return told?.status === 202
  }
  let gateway = await serve(at)
  for (let kill = 0; kill < KILLS; kill++) {
    const starts = Array.from({ length: EACH }, (_, i) =>
      kinds.map(async (kind) => {
        const n = `${kind}-${kill}-${i}`
        const device = `d${i % 3}`
        const told = await gateway.dispatch({ action_type: kind, payload: { n, device } }).catch(() => undefined)
        if (told?.status === 202) begun.push({ id: told.body['chain_id'] as string, kind, n, device })
      }),
    )
    const all = Promise.all(starts.flat())
    await sleep(100 + random.float() * 600)
    gateway.signal('SIGKILL')
    expect(await gateway.ended).toEqual({ code: null, signal: 'SIGKILL' })
    await all
    gateway = await serve(at)
  }
  expect(new Set(begun.map((b) => b.kind))).toEqual(new Set(kinds))

  const began = performance.now()
  for (const { id, kind } of begun) if (kind === 'asks') expect(await signal(gateway, id), id).toBe(true)
  // Those whose start nobody heard of ask as well.
  const asking = async () => {
    const { body } = await gateway.ask('GET', '/v1/chains?chain_name=asks&status=waiting&limit=1000')
    return (body['chains'] as readonly JsonObject[]).map((c) => c['chain_id'] as string)
  }
  let left: { readonly [kind: string]: number } = {}
  await until(
    async () => {
      for (const id of await asking()) await signal(gateway, id)
      left = await gateway.waiting()
      return Object.keys(left).length === 0
    },
    () => `no work left; there is ${JSON.stringify(left)}`,
    GRACE_MS,
  )
  console.log(
    `${begun.length} executions, ${hook.requests} sendings, all done in ${Math.round(performance.now() - began)} ms`,
  )

  expect(hook.wrong).toEqual([])
  const effects = hook.bodies('/steps').map((b) => b['payload'] as JsonObject)
  const wrong: string[] = []
  for (const { id, kind, n } of begun) {
    const { body } = await gateway.ask('GET', `/v1/chains/${id}`)
    const seen = effects.flatMap((e) => (e['n'] === n ? [String(e['step'])] : [])).toSorted()
    if (body['status'] !== 'completed' || seen.join() !== expected[kind]!.join())
      wrong.push(`${n}: ${body['status']}, ${seen.join()}`)
  }
  expect(wrong).toEqual([])
  // Of one entity, one after another: between the first and the last effect of one there is none of another.
  const locked = new Map(begun.flatMap((b) => (b.kind === 'locks' ? [[b.n, b.device] as const] : [])))
  for (const device of new Set(locked.values())) {
    const order = effects.flatMap((e) => (locked.get(String(e['n'])) === device ? [String(e['n'])] : []))
    expect(
      order.filter((n, i) => n !== order[i - 1]),
      device,
    ).toEqual([...new Set(order)])
  }
  expect(await gateway.stop()).toBe(0)
})
