import { expect, test } from 'vitest'
import { seededRandom } from '../../src/core/ids.ts'
import type { JsonObject } from '../../src/core/json.ts'
import {
  answerAsking,
  type Begun,
  definitionsToml,
  executionRules,
  executionKinds as kinds,
  misdone,
  PROVIDER,
} from './execution-kinds.ts'
import { drained, serve } from './gateway.ts'
import { place } from './place.ts'
import { receiver } from './receiver.ts'
import { sleep, until } from './run.ts'

const EACH = 12
const KILLS = 3
/** A wait is over soon after its time, whoever had it: no claim of a dead process is waited for, which lasts thirty seconds. */
const GRACE_MS = 25_000

const seed = Number(process.env['SEED'] ?? Math.floor(Math.random() * 1e6))

test(`kill -9: executions that wait, run, stand in line and have groups open come to their end once (SEED=${seed})`, {
  timeout: 90_000,
}, async () => {
  console.log(`executions: SEED=${seed} repeats it`)
  const random = seededRandom(seed)
  const pace = seededRandom(seed + 1)
  const hook = await receiver(async () => {
    await sleep(pace.float() * 150)
    return { status: 200 }
  })
  const at = place({
    'gateway.toml': `[[providers]]\nname = "${PROVIDER}"\ntype = "webhook"\nurl = "${hook.url}/${PROVIDER}"\nmax_concurrent = 200\n\n${definitionsToml()}`,
    'rules/rules.yaml': `rules:\n${executionRules()}`,
  })

  const begun: Begun[] = []
  let gateway = await serve(at)
  const unbegun = () => kinds.filter((kind) => !begun.some((b) => b.kind === kind))
  for (let kill = 0; kill < KILLS || (unbegun().length > 0 && kill < 3 * KILLS); kill++) {
    const had = begun.length
    const starts = Array.from({ length: EACH }, (_, i) =>
      kinds.map(async (kind) => {
        const n = `${kind}-${kill}-${i}`
        const device = `d${i % 3}`
        const told = await gateway.dispatch({ action_type: kind, payload: { n, device } }).catch(() => undefined)
        if (told?.status === 202) begun.push({ id: told.body['chain_id'] as string, kind, n, device })
      }),
    )
    const all = Promise.all(starts.flat())
    // However slow the machine is today: a kill before anything was accepted tests nothing.
    await until(() => begun.length > had, 'something accepted')
    await sleep(random.float() * 600)
    gateway.signal('SIGKILL')
    expect(await gateway.ended).toEqual({ code: null, signal: 'SIGKILL' })
    await all
    gateway = await serve(at)
  }
  expect(unbegun()).toEqual([])

  const began = performance.now()
  for (const { id, kind } of begun)
    if (kind === 'asks')
      expect((await gateway.ask('POST', `/v1/chains/${id}/signal`, { signal: 'go' })).status, id).toBe(202)
  await drained(gateway, GRACE_MS, () => answerAsking(gateway))
  console.log(
    `${begun.length} executions, ${hook.requests} sendings, all done in ${Math.round(performance.now() - began)} ms`,
  )

  expect(hook.wrong).toEqual([])
  const effects = hook.bodies(`/${PROVIDER}`).map((b) => b['payload'] as JsonObject)
  expect(await misdone(gateway, begun, effects)).toEqual([])
  expect(await gateway.stop()).toBe(0)
})
