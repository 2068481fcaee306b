import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect } from 'vitest'
import type { JsonObject } from '../../../src/core/json.ts'
import { type Event, recordOf } from '../../http/stream/sse.ts'
import type { Gateway } from '../gateway.ts'
import { listen } from '../listener.ts'
import { root, until } from '../run.ts'
import type { SharedStore } from './store.ts'

/** What gateways on one store show of each other: who is there, and what all of them do. */

const { version } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as { version: string } // our own file

export const addressOf = (g: Gateway): string => `127.0.0.1:${g.port}`

export async function nodesOf(gateway: Gateway): Promise<readonly JsonObject[]> {
  const { status, body } = await gateway.ask('GET', '/v1/nodes')
  expect(status).toBe(200)
  return body['nodes'] as readonly JsonObject[]
}

/** Each shows them all, with the same rules, and with clocks that agree as those of one machine do. */
export async function allSeen(gateways: readonly Gateway[], soonMs: number): Promise<void> {
  const began = performance.now()
  for (const gateway of gateways) {
    await until(async () => (await nodesOf(gateway)).length === gateways.length, 'each at each of them')
    expect(performance.now() - began).toBeLessThan(soonMs)
    const nodes = await nodesOf(gateway)
    expect(nodes.map((n) => n['address']).toSorted()).toEqual(gateways.map(addressOf).toSorted())
    for (const n of nodes) expect(n).toMatchObject({ version, rules_version: nodes[0]!['rules_version'] })
    expect(nodes[0]!['rules_version']).toMatch(/\S/)
    expect(new Set(nodes.map((n) => n['id'])).size).toBe(gateways.length)
    for (const n of nodes) expect(Math.abs(Number(n['clock_offset_ms']))).toBeLessThan(1000)
  }
}

const CALLERS = 8
const EACH = 8

/** What one does is shown by the other, in the order its store keeps; who goes over to the other with the last id of the one misses nothing and sees nothing twice. */
export async function streamed(one: Gateway, other: Gateway, { trail }: SharedStore): Promise<void> {
  const query = '?kind=dispatch'
  const [stays, first] = [await listen(one, query), await listen(other, query)]
  const named = { one, other }
  const say = async (to: keyof typeof named, n: string): Promise<void> => {
    const id = `${to}-${n}`
    expect((await named[to].dispatch({ id, action_type: 'shown', provider: 'out', payload: {} })).status).toBe(200)
  }
  const ids = (events: readonly Event[]): string[] => events.map((e) => recordOf(e).action_id)
  await say('one', 'first')
  await until(() => ids(first.events).includes('one-first'), 'what the one did, at the other')
  await say('other', 'first')
  await until(() => ids(stays.events).includes('other-first'), 'what the other did, at the one')

  // Callers of both, and one who listens goes over from the other to the one and back meanwhile.
  const calls = Promise.all(
    Array.from({ length: CALLERS }, async (_, caller) => {
      for (let i = 0; i < EACH; i++) await say(i % 2 === caller % 2 ? 'one' : 'other', `${caller}-${i}`)
    }),
  )
  const moved: Event[] = []
  let at = first
  for (const [to, wanted] of [
    [one, 10],
    [other, 25],
  ] as const) {
    await until(() => moved.length + at.events.length >= wanted, `${wanted} events`, 30_000)
    at.close()
    await at.over
    moved.push(...at.events)
    at = await listen(to, query, at.lastId())
  }
  await calls
  const all = 2 + CALLERS * EACH
  await until(
    () => stays.events.length >= all && moved.length + at.events.length >= all,
    () => `${all} events, of ${stays.events.length} and ${moved.length + at.events.length}`,
    30_000,
  )
  for (const l of [at, stays]) l.close()
  await Promise.all([at.over, stays.over])
  moved.push(...at.events)
  const [shown, throughout] = [ids(moved), ids(stays.events)]
  expect(new Set(shown).size).toBe(all)
  expect(shown.toSorted()).toEqual(throughout.toSorted())
  for (const lane of trail === 'by_gateway' ? ['one-', 'other-'] : ['']) {
    const order = shown.filter((id) => id.startsWith(lane))
    expect(order).toEqual(throughout.filter((id) => id.startsWith(lane)))
    if (trail === 'carried') continue
    // Each caller waits for its answer: its actions were committed one after another.
    for (let caller = 0; caller < CALLERS; caller++) {
      const turns = order.flatMap((id) => (id.includes(`-${caller}-`) ? [Number(id.split('-')[2])] : []))
      expect(turns).toEqual(turns.toSorted((a, b) => a - b))
    }
  }
}
