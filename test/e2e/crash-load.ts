import { seededRandom } from '../../src/core/ids.ts'
import type { JsonObject } from '../../src/core/json.ts'
import type { Place } from './place.ts'
import { sleep } from './run.ts'

/** What clients send while the gateway is killed, and what they were told. */

export const kinds = ['plain', 'window', 'dedup', 'keyed', 'scheduled', 'grouped', 'copied', 'chained'] as const
export type Kind = (typeof kinds)[number]

export interface Sent {
  /** The name of this one thing, in its payload and so in every effect of it. */
  readonly n: string
  readonly kind: Kind
  /** Of the request that was answered. */
  readonly actionId: string
  /** The last answer; undefined: it was cut off. */
  answer?: { readonly status: number; readonly body: JsonObject; readonly replayed: boolean }
}

export const files = (url: string): { readonly [name: string]: string } => {
  const provider = (name: string, more = ''): string =>
    `[[providers]]\nname = "${name}"\ntype = "webhook"\nurl = "${url}/${name}"\n${more}\n`
  const step = (name: string): string =>
    `[[chains.definitions.steps]]\nname = "${name}"\nprovider = "steps"\naction_type = "${name}"\npayload_template = { n = "{{origin.payload.n}}", step = "${name}" }\n`
  return {
    'gateway.toml': [
      '[executor]\nbackoff_initial_ms = 20\nbackoff_max_ms = 200\n',
      provider('plain'),
      provider('window', 'dedup_window_seconds = 600'),
      provider('copies'),
      provider('flushes'),
      provider('steps'),
      '[[chains.definitions]]\nname = "three"\n',
      step('one'),
      step('two'),
      step('three'),
    ].join('\n'),
    'rules/rules.yaml': `
rules:
  - { name: dedup, condition: { field: action.dedup_key, exists: true }, action: { type: deduplicate, ttl_seconds: 600 } }
  - { name: copy, condition: { field: action.action_type, eq: copied }, action: { type: copy, target_provider: copies } }
  - { name: soon, condition: { field: action.payload.wait, eq: 1 }, action: { type: schedule, delay_seconds: 1 } }
  - { name: later, condition: { field: action.payload.wait, eq: 2 }, action: { type: schedule, delay_seconds: 2 } }
  - name: gather
    condition: { field: action.action_type, eq: grouped }
    action: { type: group, group_by: [payload.room], group_wait_seconds: 1, target_provider: flushes }
  - { name: chain, condition: { field: action.action_type, eq: chained }, action: { type: chain, chain: three } }
`,
  }
}
export type Files = Parameters<Place['write']>

/** The provider whose receiver sees an action of this kind first. */
const first: { readonly [kind in Kind]: string } = {
  plain: 'plain',
  window: 'window',
  dedup: 'window',
  keyed: 'plain',
  scheduled: 'plain',
  grouped: 'flushes',
  copied: 'window',
  chained: 'steps',
}

export interface Load {
  /** Everything sent so far. */
  readonly sent: readonly Sent[]
  /** Gateways listen here now; each request goes to one of them. */
  up(bases: readonly string[]): void
  /** Begins nothing new and resolves when every client has what it waits for. */
  end(): Promise<void>
}

/** `clients` loops, each with its own chance drawn from the seed: what they send depends on the seed, when it is cut off does not. */
export function startLoad(seed: number, clients: number): Load {
  const sent: Sent[] = []
  let bases: readonly string[] = []
  let over = false

  async function client(me: number): Promise<void> {
    const random = seededRandom(seed * 1000 + me)
    for (let i = 0; !over; i++) {
      await sleep(40 + random.float() * 220)
      const kind = kinds[Math.floor(random.float() * kinds.length)]!
      const n = `${kind}-${me}-${i}`
      // These clients repeat until they are answered; every other one takes a cut for an answer.
      const persistent = kind === 'keyed' || kind === 'dedup'
      const hangUpMs = random.float() < 0.1 ? Math.ceil(random.float() * 6) : undefined
      const wait = random.float() < 0.5 ? 1 : 2
      for (let attempt = 0; ; attempt++) {
        const base = bases[Math.floor(random.float() * bases.length)]
        if (base === undefined) {
          await sleep(20)
          if (over && attempt === 0) return
          continue
        }
        // A repeated action under a dedup key is another action; under an Idempotency-Key it is the same request.
        const actionId = kind === 'dedup' ? `${n}-${attempt}` : n
        const one: Sent = { n, kind, actionId }
        sent.push(one)
        const payload = { n, room: `room-${Math.floor(me / 8)}`, ...(kind === 'scheduled' && { wait }) }
        const action = {
          id: actionId,
          action_type: kind,
          provider: first[kind],
          payload,
          ...(kind === 'dedup' && { dedup_key: n }),
        }
        try {
          const answer = await fetch(`${base}/v1/dispatch`, {
            method: 'POST',
            headers: { 'content-type': 'application/json', ...(kind === 'keyed' && { 'idempotency-key': n }) },
            body: JSON.stringify(action),
            ...(hangUpMs !== undefined && attempt === 0 && { signal: AbortSignal.timeout(hangUpMs) }),
          })
          const body = (await answer.json()) as JsonObject
          one.answer = { status: answer.status, body, replayed: answer.headers.get('idempotent-replayed') === 'true' }
        } catch (e) {
          if (!(e instanceof TypeError || e instanceof DOMException || e instanceof SyntaxError)) throw e
        }
        const told = one.answer?.status
        if (!persistent || (told !== undefined && told < 300)) break
        // What a killed gateway had claimed is answered when its lease has run out: to ask for it dozens of times a second proves no more.
        await sleep((20 + random.float() * 60) * Math.min(1 + attempt / 4, 12))
      }
    }
  }
  const running = Promise.all(Array.from({ length: clients }, (_, me) => client(me)))
  // Looked at in the end.
  running.catch(() => undefined)
  return {
    sent,
    up(at) {
      bases = at
    },
    async end() {
      over = true
      await running
    },
  }
}
