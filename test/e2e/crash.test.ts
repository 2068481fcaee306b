import { expect, test } from 'vitest'
import { seededRandom } from '../../src/core/ids.ts'
import { effectsOf, misses, strayLetters, unanswerable } from './accounts.ts'
import { files, startLoad } from './crash-load.ts'
import { drained, listening, serve } from './gateway.ts'
import { place } from './place.ts'
import { receiver } from './receiver.ts'
import { sleep, start, until } from './run.ts'

const KILLS = 4
const CLIENTS = 64
/** Less than a lease: what a killed process had claimed must not wait until the lease has run out. */
const GRACE_MS = 25_000

const KINDS = ['chained', 'copied', 'dedup', 'grouped', 'keyed', 'plain', 'scheduled', 'window']

const seed = Number(process.env['SEED'] ?? Math.floor(Math.random() * 1e6))

test(`kill -9 again and again: all that was accepted has one effect, and nothing is stuck (SEED=${seed})`, {
  timeout: 120_000,
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
  const seen = () => [...new Set(load.sent.filter((s) => s.answer).map((s) => s.kind))].sort()

  for (let kill = 0; kill < KILLS; kill++) {
    const gateway = await serve(at)
    load.up([gateway.base])
    await sleep(200 + random.float() * 900)
    // The test is to have tested something, however little a slow machine got done between the kills.
    if (kill === KILLS - 1) await until(() => seen().length === KINDS.length, 'an answer to each kind', 30_000)
    gateway.signal('SIGKILL')
    load.up([])
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
  load.up([gateway.base])
  const began = performance.now()
  await sleep(300)
  await load.end()

  await drained(gateway, GRACE_MS)
  const drainedMs = performance.now() - began
  expect(drainedMs).toBeLessThan(GRACE_MS)

  expect(hook.wrong).toEqual([])
  const wrong = [...misses(load.sent, effectsOf(hook.bodies)), ...(await unanswerable([gateway], load.sent))]
  expect(wrong).toEqual([])
  expect(await strayLetters(gateway, load.sent)).toEqual([])
  const answered = load.sent.filter((s) => s.answer)
  const cut = load.sent.length - answered.length
  console.log(
    `${load.sent.length} requests, ${cut} cut off, ${hook.effects.size} effects of ${hook.requests} sendings, all done ${Math.round(drainedMs)} ms after the last start`,
  )
  // Each kind was answered, and kills did cut requests off.
  expect(seen()).toEqual(KINDS)
  expect(cut).toBeGreaterThan(0)
  expect(await gateway.stop()).toBe(0)
})
