import type { JsonObject } from '../../src/core/json.ts'
import { inline } from '../fakes/toml.ts'
import type { Gateway } from './gateway.ts'

/** Executions of every way to take time, for tests that kill what drives them; and the account of what became of them. */

/** Where their steps go. */
export const PROVIDER = 'flow'

const send = (name: string, more: JsonObject = {}): JsonObject => ({
  name,
  provider: PROVIDER,
  action_type: name,
  payload_template: { n: '{{origin.payload.n}}', step: name },
  ...more,
})
export const chains: {
  readonly [name: string]: { readonly steps: readonly JsonObject[]; readonly more?: JsonObject }
} = {
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
export const executionKinds = Object.keys(expected)
/** As tables, so that others may stand beside them. */
export const definitionsToml = (): string =>
  Object.entries(chains)
    .map(([name, { steps, more = {} }]) =>
      [
        '[[chains.definitions]]',
        ...Object.entries({ name, ...more, steps }).map(([key, v]) => `${key} = ${inline(v)}`),
      ].join('\n'),
    )
    .join('\n\n')
/** One rule for each, by the action's type. */
export const executionRules = (): string =>
  executionKinds
    .map(
      (k) =>
        `  - { name: ${k}, condition: { field: action.action_type, eq: ${k} }, action: { type: chain, chain: ${k} } }\n`,
    )
    .join('')

export interface Begun {
  readonly id: string
  readonly kind: string
  readonly n: string
  readonly device: string
}
/** What did not complete, or has not had each effect once, or did not wait for another of its entity. `effects`: payloads, as they came. */
export async function misdone(
  gateway: Gateway,
  begun: readonly Begun[],
  effects: readonly JsonObject[],
): Promise<readonly string[]> {
  const wrong: string[] = []
  for (const { id, kind, n } of begun) {
    const { body } = await gateway.ask('GET', `/v1/chains/${id}`)
    const seen = effects.flatMap((e) => (e['n'] === n ? [String(e['step'])] : [])).toSorted()
    if (body['status'] !== 'completed' || seen.join() !== expected[kind]!.join())
      wrong.push(`${n}: ${body['status']}, ${seen.join()}`)
  }
  // Of one entity, one after another: between the first and the last effect of one there is none of another.
  const locked = new Map(begun.flatMap((b) => (b.kind === 'locks' ? [[b.n, b.device] as const] : [])))
  for (const device of new Set(locked.values())) {
    const order = effects.flatMap((e) => (locked.get(String(e['n'])) === device ? [String(e['n'])] : []))
    const turns = order.filter((n, i) => n !== order[i - 1])
    if (turns.length !== new Set(order).size) wrong.push(`${device}: ${turns.join()} were not one after another`)
  }
  return wrong
}
/** Sends what executions wait for: those too whose start nobody heard of. */
export async function answerAsking(gateway: Gateway): Promise<void> {
  const { body } = await gateway.ask('GET', '/v1/chains?chain_name=asks&status=waiting&limit=1000')
  for (const c of body['chains'] as readonly JsonObject[])
    await gateway.ask('POST', `/v1/chains/${c['chain_id'] as string}/signal`, { signal: 'go' })
}
