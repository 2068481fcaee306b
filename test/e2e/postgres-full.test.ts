import { randomBytes } from 'node:crypto'
import pg from 'pg'
import { describe, expect, onTestFinished, test } from 'vitest'
import type { JsonObject } from '../../src/core/json.ts'
import { type FullDisk, fullDisk, withoutCompiler } from '../servers/full-disk.ts'
import { type Postgres, startPostgres, withoutPostgres } from '../servers/postgres.ts'
import { allThere, type Sent } from './full.ts'
import { type Gateway, serve, type Told } from './gateway.ts'
import { place } from './place.ts'
import { receiver } from './receiver.ts'
import { until } from './run.ts'

/** What nobody knows the end of is due when its lease has run out: half a minute, and the server starts twice before that. */
const TIMEOUT = 150_000

describe.skipIf(withoutPostgres() || withoutCompiler())('PostgreSQL', { timeout: TIMEOUT }, () => {
  test('its disk is full: callers are told, nothing acknowledged is missing, nothing refused is held, and it goes on when room is back', () =>
    filled(undefined, {
      async fill({ admin, disk }) {
        // Its log has a whole segment ahead, which whoever writes next begins: what runs out of room is its tables.
        await admin.query('CHECKPOINT')
        await admin.query('SELECT pg_switch_wal()')
        await admin.query('CREATE TABLE next ()')
        disk.full(true)
        const full = admin.query('CREATE TABLE filler AS SELECT generate_series(1, 10000)')
        await expect(full).rejects.toMatchObject({ code: '53100', message: expect.stringMatching(/No space left/) })
      },
      // It still answers questions, and what it took is there while the disk is full.
      meanwhile: ({ gateway, taken }) => allThere(gateway, taken()),
      empty: async ({ disk }) => disk.full(false),
    }))

  test('its log has no room: it stops, which callers are told, and when it is started again with room nothing acknowledged is missing', () =>
    filled('pg_wal', {
      async fill({ admin, disk }) {
        disk.full(true)
        // What is left of the segment it writes to is not waited for.
        await admin.query('SELECT pg_switch_wal()')
      },
      async meanwhile({ gateway, postgres }) {
        expect((await gateway.ask('GET', '/readyz')).status).toBe(503)
        // It tries to recover, which takes room in its log too, and mostly ends of that; on a busy machine it may try for a minute.
        await postgres.kill()
      },
      async empty({ disk, postgres }) {
        disk.full(false)
        await postgres.again()
      },
    }))
})

interface Filled {
  readonly disk: FullDisk
  readonly postgres: Postgres
  readonly admin: pg.Client
  readonly gateway: Gateway
  taken(): readonly Sent[]
}
interface Filling {
  fill(of: Filled): Promise<void>
  meanwhile(of: Filled): Promise<void>
  empty(of: Filled): Promise<void>
}

async function filled(folder: string | undefined, { fill, meanwhile, empty }: Filling): Promise<void> {
  const disk = fullDisk(folder)
  onTestFinished(() => disk.remove())
  const postgres = await startPostgres({ env: disk.env })
  onTestFinished(() => postgres.stop())
  const hook = await receiver()
  const gateway = await serve(
    place({
      'gateway.toml': `
[state]
backend = "postgres"
url = "${postgres.url}"
[[providers]]
name = "hook"
type = "webhook"
url = "${hook.url}/"
[rules]
default_provider = "hook"
`,
      'rules/rules.yaml': `
rules:
  - { name: hold, condition: { field: action.action_type, eq: hold }, action: { type: schedule, delay_seconds: 3600 } }
  - { name: gather, condition: { field: action.action_type, eq: gather }, action: { type: group, group_by: [payload.room], group_wait_seconds: 3600 } }
`,
    }),
  )
  const admin = new pg.Client({ connectionString: postgres.url })
  admin.on('error', () => {})
  await admin.connect()

  const sent: Sent[] = []
  let n = 0
  const send = async (type: string): Promise<Told> => {
    const id = `${type}-${n++}`
    // What cannot be compressed needs new pages.
    const payload = { id, room: 'r', pad: randomBytes(6000).toString('base64') }
    const told = await gateway.dispatch({ id, action_type: type, payload })
    sent.push({ id, type, told })
    return told
  }
  const types = ['hold', 'send', 'gather']
  for (const type of types) expect((await send(type)).status).toBeLessThan(300)
  const taken = () => sent.filter((s) => s.told.status < 300)
  const of = { disk, postgres, admin, gateway, taken }
  await fill(of)
  // Several at once, so that commits which travel together meet the end of the disk together.
  const client = async (me: number): Promise<void> => {
    for (let i = 0, refused = 0; refused < 4 && i < 100; i++)
      if ((await send(types[(me + i) % types.length]!)).status === 503) refused++
  }
  await Promise.all(Array.from({ length: 6 }, (_, me) => client(me)))

  const refused = sent.filter((s) => s.told.status >= 300)
  expect(refused.length).toBeGreaterThanOrEqual(24)
  for (const { told } of refused) {
    expect([told.status, told.headers.get('retry-after')]).toEqual([503, '1'])
    expect(['state_unknown', 'state_unavailable']).toContain(told.body['code'])
    expect(told.text).not.toMatch(/postgres|space|disk|relation/i)
  }
  await meanwhile(of)

  await empty(of)
  await until(async () => (await gateway.ask('GET', '/readyz')).status === 200, 'it is ready')
  for (const type of types) expect((await send(type)).status).toBeLessThan(300)
  const later = ['scheduled', 'buffer']
  await until(
    async () => Object.keys(await gateway.waiting()).every((kind) => later.includes(kind)),
    'what was under way has ended',
    60_000,
  )
  await allThere(gateway, taken())
  const held = (await gateway.ask('GET', '/v1/scheduled?limit=1000')).body['scheduled'] as readonly JsonObject[]
  const ids = new Set(held.map((h) => h['action_id']))
  for (const { id, told } of sent.filter((s) => s.type === 'hold'))
    if (told.body['code'] !== 'state_unknown') expect([id, ids.has(id)]).toEqual([id, told.status < 300])
  // What was delivered was delivered once, also where the caller was told that nobody knows.
  expect(hook.wrong).toEqual([])
  const arrived = hook.bodies('/').map((b) => b['id'])
  expect(new Set(arrived).size).toBe(arrived.length)
  for (const { id, told } of taken().filter((s) => s.type === 'send'))
    expect([told.body['outcome'], arrived.includes(id)]).toEqual(['executed', true])
  expect(await gateway.stop()).toBe(0)
  await admin.end()
}
