import { expect, test } from 'vitest'
import { seededRandom } from '../../src/core/ids.ts'
import type { JsonObject } from '../../src/core/json.ts'
import { files, type Sent, startLoad } from './crash-load.ts'
import { drained, type Gateway, serve } from './gateway.ts'
import { place } from './place.ts'
import { receiver } from './receiver.ts'
import { run, sleep, until } from './run.ts'

const CLIENTS = 64
/** Half a lease, as after any kill. */
const GRACE_MS = 25_000

const seed = Number(process.env['SEED'] ?? Math.floor(Math.random() * 1e6))

test(`a backup under load, kill -9, restore: all that was accepted before it began is there and ends (SEED=${seed})`, {
  timeout: 120_000,
}, async () => {
  console.log(`backup test: SEED=${seed} repeats it`)
  const pace = seededRandom(seed)
  const hook = await receiver(async () => {
    await sleep(pace.float() * 60)
    return { status: 200 }
  })
  const at = place(files(hook.url))
  const first = await serve(at)
  const load = startLoad(seed, CLIENTS)
  load.up([first.base])
  await until(() => accepted(load.sent).length > 300, '300 accepted actions')

  const before = accepted(load.sent)
  const backup = await run(['backup', 'safe.db'], { cwd: at.folder })
  const after = accepted(load.sent)
  expect([backup.code, backup.stderr]).toEqual([0, ''])
  // The gateway went on, and refused nobody but who hung up and asked again at once.
  expect(after.length).toBeGreaterThan(before.length)
  const codes = load.sent.flatMap((s) => (s.answer && s.answer.status >= 300 ? [s.answer.body['code']] : []))
  expect(codes.filter((c) => c !== 'idempotency_in_progress')).toEqual([])
  await sleep(500)
  first.signal('SIGKILL')
  load.up([])
  await first.ended
  const running = await serve(at)
  // Who repeats until there is an answer gets one.
  load.up([running.base])
  await load.end()
  const refused = await run(['restore', 'safe.db'], { cwd: at.folder })
  expect([refused.code, refused.stdout, refused.stderr.split('\n').length]).toEqual([1, '', 2])
  expect(refused.stderr).toMatch(/^signalbox restore: another process has \S+signalbox\.db open/)
  running.signal('SIGKILL')
  await running.ended

  const restored = await run(['restore', 'safe.db'], { cwd: at.folder })
  expect([restored.code, restored.stderr]).toEqual([0, ''])
  expect(restored.stdout).toMatch(/^\S+safe\.db: sound, schema \d+, .* audit records, the newest of 20/)
  expect(restored.stdout).toMatch(/signalbox\.db is now this backup; the store of before is \S+\.before-\d{8}T/)

  const gateway = await serve(at)
  await drained(gateway, GRACE_MS)
  expect(await missing(gateway, before)).toEqual([])
  const arrived = new Set(hook.bodies().flatMap(names))
  expect(before.filter((s) => !arrived.has(s.n))).toEqual([])
  // What is sent again is sent under its token, with its bytes; steps of chains and groups that were begun since are put together anew.
  expect(hook.wrong.filter((w) => !/"action_type":"(one|two|three)"|"events"/.test(w))).toEqual([])
  // What was accepted after the backup is not known any more: it is another store's now.
  const { body } = await gateway.ask('GET', `/v1/actions/${load.sent.findLast((s) => s.answer)!.actionId}`)
  expect(body['code']).toBe('not_found')
  console.log(`${before.length} accepted before the backup, ${after.length - before.length} while it ran`)
  expect(await gateway.stop()).toBe(0)
})

const accepted = (sent: readonly Sent[]): readonly Sent[] => sent.filter((s) => s.answer && s.answer.status < 300)

/** Accepted actions that the gateway does not know, has not ended, or has recorded otherwise than it answered. */
async function missing(gateway: Gateway, sent: readonly Sent[]): Promise<readonly string[]> {
  const wrong: string[] = []
  const look = async ({ n, actionId, answer }: Sent): Promise<void> => {
    const { status, body } = await gateway.ask('GET', `/v1/actions/${actionId}`)
    const told = answer!.body['outcome']
    const records = (body['records'] ?? []) as readonly JsonObject[]
    const right = status === 200 && body['status'] === 'ended' && records.some((r) => r['outcome'] === told)
    if (!right) wrong.push(`${n} was told ${told}; now ${status} ${body['status']}: ${JSON.stringify(records)}`)
  }
  await Promise.all(sent.map(look))
  return wrong
}

/** Of the things a body is about: one, or those of a group. */
function names({ payload }: JsonObject): readonly string[] {
  const { n, events } = payload as JsonObject
  if (events === undefined) return [String(n)]
  return (events as readonly JsonObject[]).map((e) => String((e['payload'] as JsonObject)['n']))
}
