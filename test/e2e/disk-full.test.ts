import { join } from 'node:path'
import { expect, test } from 'vitest'
import type { JsonObject } from '../../src/core/json.ts'
import { allThere, type Sent } from './full.ts'
import { type Gateway, listening, serve, type Told } from './gateway.ts'
import { type Place, place } from './place.ts'
import { receiver } from './receiver.ts'
import { start, until } from './run.ts'

/** About a megabyte beside the empty tables. */
const PAGES = 250
const PAD = 'x'.repeat(8000)

const small = (at: Place, pages: number): Promise<Gateway> =>
  listening(
    start([join(import.meta.dirname, 'small-disk.ts'), String(pages)], { cwd: at.folder, command: process.execPath }),
  )

test('a full disk: callers are told, nothing acknowledged is missing, nothing refused is held, and it goes on when room is back', async () => {
  const hook = await receiver()
  const at = place({
    'gateway.toml': `[background]\nretention_check_interval_seconds = 0.5\n[[providers]]\nname = "hook"\ntype = "webhook"\nurl = "${hook.url}/"\n[rules]\ndefault_provider = "hook"\n`,
    'rules/rules.yaml': `
rules:
  - { name: hold, condition: { field: action.action_type, eq: hold }, action: { type: schedule, delay_seconds: 3600 } }
  - { name: gather, condition: { field: action.action_type, eq: gather }, action: { type: group, group_by: [payload.room], group_wait_seconds: 3600 } }
`,
  })
  const first = await small(at, PAGES)
  // What will make room: the records of another tenant, kept for two seconds.
  const policy = { namespace: 'default', tenant: 'brief', audit_ttl_seconds: 2 }
  expect((await first.ask('PUT', '/v1/retention', policy)).status).toBeLessThan(300)
  for (let i = 0; i < 20; i++)
    expect((await first.dispatch({ action_type: 'brief', tenant: 'brief', payload: { pad: PAD } })).status).toBe(200)
  const sent: Sent[] = []
  let n = 0
  const send = async (gateway: Gateway, type: string): Promise<Told> => {
    const id = `${type}-${n++}`
    const told = await gateway.dispatch({ id, action_type: type, payload: { id, room: 'r', pad: PAD } })
    sent.push({ id, type, told })
    return told
  }
  const types = ['hold', 'send', 'gather']
  // Several at once, so that commits which travel together meet the end of the disk together.
  const client = async (me: number): Promise<void> => {
    for (let i = 0, refused = 0; refused < 4 && i < 100; i++)
      if ((await send(first, types[(me + i) % types.length]!)).status === 503) refused++
  }
  await Promise.all(Array.from({ length: 8 }, (_, me) => client(me)))

  const taken = sent.filter((s) => s.told.status < 300)
  const refused = sent.filter((s) => s.told.status >= 300)
  expect(taken.length).toBeGreaterThan(10)
  expect(refused.length).toBeGreaterThanOrEqual(8)
  for (const { told } of refused) {
    expect([503, told.status]).toContain(told.status)
    expect(['state_unknown', 'state_unavailable']).toContain(told.body['code'])
    expect(told.headers.get('retry-after')).toBe('1')
    expect(told.text).not.toMatch(/sqlite|disk|SQL/i)
  }
  // It still answers questions, and what it took is there while the disk is full.
  await allThere(first, taken)
  await until(
    async () => (await send(first, 'hold')).status === 202,
    'the next one is taken again, once the records of another tenant have had their time',
    30_000,
  )
  expect((await first.ask('GET', '/readyz')).status).toBe(200)
  first.signal('SIGKILL')
  await first.ended

  // A larger disk, and the gateway as it is shipped.
  const second = await serve(at)
  await until(async () => (await second.waiting())['intent'] === undefined, 'what was under way has ended')
  const still = sent.filter((s) => s.told.status < 300)
  await allThere(second, still)
  const now = ((await second.ask('GET', '/v1/scheduled?limit=1000')).body['scheduled'] as readonly JsonObject[]).length
  expect(now).toBe(still.filter((s) => s.type === 'hold').length)
  // What was delivered was delivered once, also where the caller was told that nobody knows.
  expect(hook.wrong).toEqual([])
  const arrived = hook.bodies().map((b) => b['id'])
  expect(new Set(arrived).size).toBe(arrived.length)
  for (const { id, told } of sent.filter((s) => s.type === 'send' && s.told.status === 200))
    expect([told.body['outcome'], arrived.includes(id)]).toEqual(['executed', true])
  for (const type of types) expect((await send(second, type)).status).toBeLessThan(300)
  expect(await second.stop()).toBe(0)
})
