import { once } from 'node:events'
import { connect, type Socket } from 'node:net'
import { expect, test as it, onTestFinished } from 'vitest'
import { type AuditRecord, auditRow } from '../../../src/core/audit.ts'
import { systemClock } from '../../../src/core/clock.ts'
import { systemRandom, uuidv7Source } from '../../../src/core/ids.ts'
import type { StateStore } from '../../../src/core/state.ts'
import { createApp, type Listening, listen } from '../../../src/http/server.ts'
import { createStreams, STREAM_LIMITS, type StreamLimits, type Streams } from '../../../src/http/stream/streams.ts'
import { testGateway } from '../../fakes/gateway.ts'
import { memoryState } from '../../fakes/store.ts'
import { type Event, eventReader, recordOf } from './sse.ts'

interface Served {
  readonly streams: Streams
  readonly server: Listening
  record(id: string, chars?: number): Promise<void>
}

/** The real server over a real clock; only the store is in memory. */
async function served(limits: Partial<StreamLimits> = {}): Promise<Served> {
  const clock = systemClock()
  const random = systemRandom()
  const newId = uuidv7Source(clock.now, random)
  const g = await testGateway()
  const memory = await memoryState({ clock, newId })
  const env = { ...g.env, clock, random, newId }
  const streams = createStreams(memory.audit, env, { ...STREAM_LIMITS, ...limits })
  const app = createApp({ ...g.deps, env, audit: memory.audit, streams })
  const server = await listen(app, { host: '127.0.0.1', port: 0, bodyLimitBytes: 1e6 })
  onTestFinished(async () => {
    await Promise.all([streams.close(), server.close()])
  })
  return {
    streams,
    server,
    record: (id, chars = 1) => record(memory.state, newId(), id, chars).then(() => streams.recorded()),
  }
}
async function record(state: StateStore, id: string, action: string, chars: number): Promise<void> {
  const at = new Date(0).toISOString()
  const full: AuditRecord = {
    id,
    kind: 'dispatch',
    namespace: 'default',
    tenant: 'default',
    action_id: action,
    run_id: id,
    action_type: 't',
    outcome: 'executed',
    payload: { x: 'x'.repeat(chars) },
    received_at: at,
    completed_at: at,
    duration_ms: 0,
  }
  await state.commit(['default', 'default'], [{ op: 'record', row: auditRow(full) }])
}

/** A raw connection, so that a test can stop reading and sees how it ends. */
async function open(s: Served, headers = ''): Promise<{ socket: Socket; events: Event[]; head: () => string }> {
  const socket = connect(s.server.port, '127.0.0.1')
  onTestFinished(() => void socket.destroy())
  socket.on('error', () => {})
  await once(socket, 'connect')
  socket.write(`GET /v1/stream HTTP/1.1\r\nHost: localhost\r\n${headers}\r\n`)
  const sse = eventReader()
  const events: Event[] = []
  let head = ''
  let body = Buffer.alloc(0)
  socket.on('data', (chunk: Buffer) => {
    body = Buffer.concat([body, chunk])
    if (head === '') {
      const end = body.indexOf('\r\n\r\n')
      if (end < 0) return
      head = body.subarray(0, end).toString()
      body = body.subarray(end + 4)
    }
    // Chunked: <hex length>\r\n<bytes>\r\n
    for (;;) {
      const line = body.indexOf('\r\n')
      const size = Number.parseInt(body.subarray(0, Math.max(line, 0)).toString(), 16)
      if (line < 0 || Number.isNaN(size) || body.length < line + 2 + size + 2) return
      events.push(...sse.take(body.subarray(line + 2, line + 2 + size)))
      body = body.subarray(line + 4 + size)
    }
  })
  return { socket, events, head: () => head }
}
/** Until it holds; a test that waits in vain runs out of its time. */
async function until(holds: () => boolean): Promise<void> {
  while (!holds()) await new Promise<void>((r) => setImmediate(r))
}

it('goes out at once, chunk by chunk, and a stop ends it after a farewell', async () => {
  const s = await served()
  const c = await open(s)
  await until(() => c.head() !== '')
  expect(c.head()).toMatch(/^HTTP\/1\.1 200/)
  expect(c.head().toLowerCase()).toContain('content-type: text/event-stream')
  await s.record('a')
  await until(() => c.events.length === 1)
  await s.record('b')
  await until(() => c.events.length === 2)
  expect(c.events.map((e) => recordOf(e).action_id)).toEqual(['a', 'b'])
  const ended = once(c.socket, 'end')
  await Promise.all([s.streams.close(), s.server.close()])
  await ended
  expect(c.events.at(-1)).toMatchObject({ event: 'closing', id: c.events[1]!.id })
})
it('a client that goes away frees everything, at rest and in the middle of a chunk', async () => {
  const s = await served({ most: 1 })
  for (const chars of [1, 300_000]) {
    const c = await open(s)
    await until(() => c.head() !== '')
    await s.record('a', chars)
    await until(() => c.socket.bytesRead > 500)
    c.socket.destroy()
    await until(() => s.streams.open === 0)
    expect(s.streams.followed).toBe(false)
  }
})
it('a client that reads nothing is sent nothing more than what is on its way, and has the rest when it reads again', async () => {
  const s = await served()
  const c = await open(s)
  await until(() => c.head() !== '')
  c.socket.pause()
  const before = process.memoryUsage().arrayBuffers
  for (let i = 0; i < 300; i++) await s.record(`${i}`, 100_000)
  // 30 MB have come; one piece for this client and what the kernel takes are all that there is of them.
  expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(15_000_000)
  c.socket.resume()
  await until(() => c.events.length === 300)
  expect(c.events.map((e) => recordOf(e).action_id)).toEqual(Array.from({ length: 300 }, (_, i) => `${i}`))
}, 30_000)
it('a client that reads nothing for too long is cut off, and a stop does not wait for one that does not read', async () => {
  const s = await served({ stalledMs: 300, farewellMs: 200 })
  const fill = async (): Promise<void> => {
    for (let i = 0; i < 100; i++) await s.record(`${i}`, 100_000)
  }
  const gone = await open(s)
  await until(() => gone.head() !== '')
  gone.socket.pause()
  await fill()
  await until(() => s.streams.open === 0)
  const patient = await served({ farewellMs: 200 })
  const stuck = await open(patient)
  await until(() => stuck.head() !== '')
  stuck.socket.pause()
  for (let i = 0; i < 100; i++) await patient.record(`${i}`, 100_000)
  await Promise.all([patient.streams.close(), patient.server.close()])
  expect(patient.streams.open).toBe(0)
}, 30_000)
