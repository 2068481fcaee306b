// What a decision costs: node test/state/measure.ts [clients] [seconds] [full|normal]
import { closeSync, fsyncSync, mkdtempSync, openSync, rmSync, writeSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type AuditRecord, auditRow } from '../../src/core/audit.ts'
import { systemClock } from '../../src/core/clock.ts'
import { systemRandom, uuidv7Source } from '../../src/core/ids.ts'
import type { Op } from '../../src/core/state.ts'
import { openSqlite } from '../../src/state/sqlite.ts'

const clients = Number(process.argv[2] ?? 64)
const seconds = Number(process.argv[3] ?? 3)
const synchronous = process.argv[4] === 'normal' ? 'normal' : 'full'
const clock = systemClock()
const newId = uuidv7Source(clock.now, systemRandom())
const dir = mkdtempSync(join(tmpdir(), 'measure-'))
const path = join(dir, 'state.db')
const { state } = await openSqlite({
  path,
  synchronous,
  clock,
  random: systemRandom(),
  inThread: process.argv[5] === 'here',
})
const scope = ['default', 'default'] as const

function decision(now: number): Op[] {
  const id = newId()
  const at = new Date(now).toISOString()
  const record: AuditRecord = {
    id,
    kind: 'dispatch',
    namespace: 'default',
    tenant: 'default',
    action_id: id,
    run_id: id,
    provider: 'log',
    requested_provider: 'log',
    action_type: 'telemetry.reading',
    outcome: 'executed',
    rule: 'route-temperature',
    rules_version: 'c0ffee00c0ffee00',
    matched: ['dedup-readings', 'throttle-sensors', 'route-temperature'],
    payload: { sensor_id: 'temp-01', zone: 'north', value: 21.5, unit: 'C', floor: 3 },
    metadata: { source: 'measure' },
    received_at: at,
    completed_at: at,
    duration_ms: 1,
  }
  return [
    {
      op: 'put',
      kind: 'dedup',
      id: `14:dedup-readings2:id36:${id}`,
      value: `{"action_id":"${id}","outcome":"executed"}`,
      version: id,
      ifVersion: null,
      expiresAt: now + 300_000,
    },
    { op: 'admit', id: '16:throttle-sensors5:60000', max: 1e9, windowMs: 60_000 },
    { op: 'count', id: 'quota:hourly:1', by: 1, limit: 1e9, expiresAt: now + 3_600_000 },
    { op: 'count', id: 'quota:daily:1', by: 1, limit: 1e9, expiresAt: now + 86_400_000 },
    { op: 'record', row: auditRow(record) },
  ]
}

/** What an fsync of one page costs here: half of what a lone caller waits for. */
function fsyncMs(): number {
  const fd = openSync(join(dir, 'fsync'), 'w')
  const page = Buffer.alloc(4096)
  const times = Array.from({ length: 50 }, () => {
    const from = performance.now()
    writeSync(fd, page)
    fsyncSync(fd)
    return performance.now() - from
  }).sort((a, b) => a - b)
  closeSync(fd)
  return times[25]!
}

const WARM_MS = 1000
const fsync = fsyncMs()
let latencies: number[] = []
let done = 0
let began = clock.now()
let cpu = process.cpuUsage()
const end = began + WARM_MS + seconds * 1000
clock.timer(WARM_MS, () => {
  began = clock.now()
  cpu = process.cpuUsage()
  latencies = []
  done = 0
})
await Promise.all(
  Array.from({ length: clients }, async () => {
    while (clock.now() < end) {
      const from = performance.now()
      const answer = await state.commit(scope, decision(clock.now()))
      if (!answer.ok) throw new Error('refused')
      latencies.push(performance.now() - from)
      done++
    }
  }),
)
const took = clock.now() - began
const used = process.cpuUsage(cpu)
latencies.sort((a, b) => a - b)
const at = (q: number) => latencies[Math.floor(latencies.length * q)]?.toFixed(1)
console.log(
  `${clients} clients, ${synchronous}: ${Math.round((done / took) * 1000)} decisions/s, ` +
    `${((used.user + used.system) / done).toFixed(1)} us of CPU each (${(used.user / done).toFixed(1)} user), ` +
    `p50 ${at(0.5)} ms, p99 ${at(0.99)} ms, fsync ${fsync.toFixed(2)} ms`,
)
await state.close()
rmSync(dir, { recursive: true })
