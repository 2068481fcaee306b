import { expect, test } from 'vitest'
import { seededRandom } from '../../src/core/ids.ts'
import type { JsonObject } from '../../src/core/json.ts'
import { files, type Kind, type Sent, startLoad } from './crash-load.ts'
import { type Gateway, listening, serve } from './gateway.ts'
import { place } from './place.ts'
import { receiver } from './receiver.ts'
import { sleep, start, until } from './run.ts'

const KILLS = 5
const CLIENTS = 64
/** Half a lease: what a killed process had claimed must not wait until the lease has run out. */
const GRACE_MS = 15_000

const seed = Number(process.env['SEED'] ?? Math.floor(Math.random() * 1e6))

test(`kill -9 again and again: all that was accepted has one effect, and nothing is stuck (SEED=${seed})`, {
  timeout: 60_000,
}, async () => {
  console.log(`crash test: SEED=${seed} repeats it`)
  const random = seededRandom(seed)
  const pace = seededRandom(seed + 1)
  // Slow enough that a kill meets deliveries that have had their effect and do not know it.
  const hook = await receiver(async () => {
    await sleep(pace.float() * 120)
    return { status: 200 }
  })
  const at = place(files(hook.url))
  const load = startLoad(seed, CLIENTS)

  for (let kill = 0; kill < KILLS; kill++) {
    const gateway = await serve(at)
    load.up(gateway.base)
    await sleep(200 + random.float() * 900)
    gateway.signal('SIGKILL')
    load.up(undefined)
    expect(await gateway.ended).toEqual({ code: null, signal: 'SIGKILL' })
    if (random.float() < 0.4) {
      // Once more, while it starts.
      const starting = start(['serve', '--port', '0'], { cwd: at.folder })
      await sleep(100 + random.float() * 700)
      starting.signal('SIGKILL')
      await starting.ended
    }
  }
  const gateway = await listening(start(['serve', '--port', '0'], { cwd: at.folder }))
  load.up(gateway.base)
  const began = performance.now()
  await sleep(300)
  await load.end()

  let left: { readonly [kind: string]: number } = {}
  await until(
    async () => {
      left = await gateway.waiting()
      return Object.keys(left).length === 0
    },
    () => `no work left; there is ${JSON.stringify(left)}`,
    GRACE_MS,
  )
  const drainedMs = performance.now() - began
  expect(drainedMs).toBeLessThan(GRACE_MS)

  expect(hook.wrong).toEqual([])
  const wrong = [...misses(load.sent, effectsOf(hook.bodies)), ...(await unanswerable(gateway, load.sent))]
  expect(wrong).toEqual([])
  expect(await strayLetters(gateway, load.sent)).toEqual([])
  const answered = load.sent.filter((s) => s.answer)
  const cut = load.sent.length - answered.length
  console.log(
    `${load.sent.length} requests, ${cut} cut off, ${hook.effects.size} effects of ${hook.requests} sendings, all done ${Math.round(drainedMs)} ms after the last start`,
  )
  // The test has tested something: each kind was answered, and kills did cut requests off.
  const seen = new Set(answered.map((s) => s.kind))
  expect([...seen].sort()).toEqual(['chained', 'copied', 'dedup', 'grouped', 'keyed', 'plain', 'scheduled', 'window'])
  expect(cut).toBeGreaterThan(0)
  expect(await gateway.stop()).toBe(0)
})

/** How often the one thing of this name arrived, by path. */
type Effects = ReadonlyMap<string, ReadonlyMap<string, number>>

function effectsOf(bodies: (path: string) => readonly JsonObject[]): Effects {
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

/** Every acknowledged thing that did not arrive exactly once in each place, and every other that arrived twice. */
function misses(sent: readonly Sent[], effects: Effects): readonly string[] {
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
  // What was told besides success: nothing here is refused, so only a run that was cut off may have failed.
  for (const { n, answer } of sent)
    if (answer && answer.status >= 300 && !interrupted(answer)) wrong.push(`${n}: ${JSON.stringify(answer)}`)
  return wrong
}
const interrupted = ({ status, body }: NonNullable<Sent['answer']>): boolean =>
  (status === 502 && body['code'] === 'interrupted') || (status === 409 && body['code'] === 'idempotency_in_progress')

/** Acknowledged actions the gateway no longer knows, or knows to be under way, or has recorded otherwise than it answered. */
async function unanswerable(gateway: Gateway, sent: readonly Sent[]): Promise<readonly string[]> {
  const wrong: string[] = []
  const acknowledged = sent.filter((s) => s.answer && s.answer.status < 300)
  const queue = acknowledged.values()
  const looker = async (): Promise<void> => {
    for (const { n, actionId, answer } of queue) {
      const { status, body } = await gateway.ask('GET', `/v1/actions/${actionId}`)
      const records = (body['records'] ?? []) as readonly JsonObject[]
      const mine = records.filter((r) => r['kind'] === 'dispatch')
      const told = answer!.body['outcome']
      const right =
        status === 200 && body['status'] === 'ended' && mine.length >= 1 && mine.some((r) => r['outcome'] === told)
      if (!right)
        wrong.push(`${n} was told ${told}; now ${status} ${body['status']}, recorded ${mine.map((r) => r['outcome'])}`)
    }
  }
  await Promise.all(Array.from({ length: 16 }, looker))
  return wrong
}

/** Dead letters of what was acknowledged, or for another reason than a run that was cut off and may not be repeated. */
async function strayLetters(gateway: Gateway, sent: readonly Sent[]): Promise<readonly string[]> {
  const acknowledged = new Set(sent.flatMap((s) => (s.answer && s.answer.status < 300 ? [s.actionId] : [])))
  const { body } = await gateway.ask('GET', '/v1/dlq?limit=1000')
  const letters = body['dead_letters'] as readonly JsonObject[]
  return letters
    .filter((l) => l['code'] !== 'interrupted' || acknowledged.has(String((l['action'] as JsonObject)['id'])))
    .map((l) => JSON.stringify(l))
}
