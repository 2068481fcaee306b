import type { JsonObject } from '../../src/core/json.ts'
import type { Kind, Sent } from './crash-load.ts'
import type { Gateway } from './gateway.ts'

/** What was sent and acknowledged, held against what arrived and what the gateway says of it. */

/** How often the one thing of this name arrived, by path. */
export type Effects = ReadonlyMap<string, ReadonlyMap<string, number>>

export function effectsOf(bodies: (path: string) => readonly JsonObject[]): Effects {
  const counts = new Map<string, Map<string, number>>()
  const add = (n: unknown, where: string): void => {
    const of = counts.get(String(n)) ?? new Map<string, number>()
    of.set(where, (of.get(where) ?? 0) + 1)
    counts.set(String(n), of)
  }
  for (const path of ['plain', 'window', 'copies', 'steps', 'flushes'])
    for (const body of bodies(`/${path}`)) {
      const payload = body['payload'] as JsonObject
      if (path !== 'flushes') add(payload['n'], path === 'steps' ? `steps/${payload['step']}` : path)
      else
        for (const event of payload['events'] as readonly JsonObject[]) add((event['payload'] as JsonObject)['n'], path)
    }
  return counts
}

/** Where everything that was accepted has to arrive, once. */
const expected: { readonly [kind in Kind]: readonly string[] } = {
  plain: ['plain'],
  window: ['window'],
  dedup: ['window'],
  keyed: ['plain'],
  scheduled: ['plain'],
  grouped: ['flushes'],
  copied: ['copies', 'window'],
  chained: ['steps/one', 'steps/three', 'steps/two'],
}

/**
 * Every acknowledged thing that did not arrive exactly once in each place, and every other that arrived twice. `away`: gateways were
 * paused and the store was not always to be had, and callers may have been told so.
 */
export function misses(sent: readonly Sent[], effects: Effects, away = false): readonly string[] {
  const wrong: string[] = []
  const accepted = new Map<string, Sent>()
  for (const s of sent) if (s.answer && s.answer.status < 300) accepted.set(s.n, s)
  for (const { n, kind, answer } of accepted.values()) {
    const seen = effects.get(n)
    const once = expected[kind].every((path) => seen?.get(path) === 1) && seen?.size === expected[kind].length
    if (!once) wrong.push(`${n}: ${JSON.stringify(answer)}, seen ${JSON.stringify([...(seen ?? [])])}`)
  }
  for (const [n, seen] of effects)
    for (const [path, times] of seen) if (times > 1 && !accepted.has(n)) wrong.push(`${n}: ${times} times at ${path}`)
  // What did not arrive in time, because the gateway was paused meanwhile, was not begun.
  for (const { n, answer } of sent)
    if (answer?.status === 408 && !accepted.has(n) && effects.has(n)) wrong.push(`${n}: has effects after a 408`)
  // What was told besides success: nothing here is refused, so only a run that was cut off, or never begun, may have failed.
  for (const { n, answer } of sent)
    if (answer && answer.status >= 300 && !interrupted(answer) && !(away && storeAway(answer)))
      wrong.push(`${n}: ${JSON.stringify(answer)}`)
  return wrong
}
const interrupted = ({ status, body }: NonNullable<Sent['answer']>): boolean =>
  (status === 502 && body['code'] === 'interrupted') || (status === 409 && body['code'] === 'idempotency_in_progress')

const storeAway = ({ status, body }: NonNullable<Sent['answer']>): boolean =>
  (status === 503 && (body['code'] === 'state_unavailable' || body['code'] === 'state_unknown')) ||
  (status === 408 && body['code'] === 'request_timeout')

/**
 * Acknowledged actions that no gateway knows any more, or that are under way, or recorded otherwise than was answered. Where each has an
 * audit of its own, one of them has it.
 */
export async function unanswerable(gateways: readonly Gateway[], sent: readonly Sent[]): Promise<readonly string[]> {
  const wrong: string[] = []
  const acknowledged = sent.filter((s) => s.answer && s.answer.status < 300)
  const queue = acknowledged.values()
  const look = async (gateway: Gateway, { n, actionId, answer }: Sent): Promise<string | undefined> => {
    const { status, body } = await gateway.ask('GET', `/v1/actions/${actionId}`)
    const records = (body['records'] ?? []) as readonly JsonObject[]
    const mine = records.filter((r) => r['kind'] === 'dispatch')
    const told = answer!.body['outcome']
    const right =
      status === 200 && body['status'] === 'ended' && mine.length >= 1 && mine.some((r) => r['outcome'] === told)
    if (right) return undefined
    return `${n} was told ${told}; now ${status} ${body['status']}, recorded ${mine.map((r) => r['outcome'])}`
  }
  const looker = async (): Promise<void> => {
    for (const one of queue) {
      const said: string[] = []
      for (const gateway of gateways) {
        const miss = await look(gateway, one)
        if (miss === undefined) break
        said.push(miss)
      }
      if (said.length === gateways.length) wrong.push(said.join('; '))
    }
  }
  await Promise.all(Array.from({ length: 16 }, looker))
  return wrong
}

/** Dead letters of what was acknowledged, or for another reason than a run that was cut off and may not be repeated. */
export async function strayLetters(gateway: Gateway, sent: readonly Sent[]): Promise<readonly string[]> {
  const acknowledged = new Set(sent.flatMap((s) => (s.answer && s.answer.status < 300 ? [s.actionId] : [])))
  const { body } = await gateway.ask('GET', '/v1/dlq?limit=1000')
  const letters = body['dead_letters'] as readonly JsonObject[]
  return letters
    .filter((l) => l['code'] !== 'interrupted' || acknowledged.has(String((l['action'] as JsonObject)['id'])))
    .map((l) => JSON.stringify(l))
}
