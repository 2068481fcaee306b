import { execFileSync } from 'node:child_process'
import { open } from 'node:fs/promises'
import { connect, type Socket } from 'node:net'
import { expect, test } from 'vitest'
import type { JsonObject } from '../../src/core/json.ts'
import { type Gateway, listening, serve } from './gateway.ts'
import { type Place, place } from './place.ts'
import { type Receiver, receiver } from './receiver.ts'
import { root, sleep, start, until } from './run.ts'

const config = (hook: Receiver, timeout = 20): { readonly [name: string]: string } => ({
  'gateway.toml': `
[server]
shutdown_timeout_seconds = ${timeout}
[[providers]]
name = "hook"
type = "webhook"
url = "${hook.url}/"
[[providers]]
name = "window"
type = "webhook"
url = "${hook.url}/"
dedup_window_seconds = 600
[[chains.definitions]]
name = "one"
[[chains.definitions.steps]]
name = "only"
provider = "hook"
action_type = "step"
`,
  'rules/rules.yaml': `
rules:
  - { name: chain, condition: { field: action.action_type, eq: chained }, action: { type: chain, chain: one } }
`,
})

/** A promise, and the way to end it. */
function gate(): { readonly opened: Promise<void>; open(): void } {
  let open = (): void => undefined
  const opened = new Promise<void>((resolve) => {
    open = resolve
  })
  return { opened, open: () => open() }
}
const refusesConnections = (port: number): Promise<boolean> =>
  new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1', () => {
      socket.destroy()
      resolve(false)
    }).on('error', () => resolve(true))
  })
const stopsAccepting = (gateway: Gateway): Promise<true> =>
  until(() => refusesConnections(gateway.port), 'the gateway takes no more connections') as Promise<true>

const action = (id: string, more: object = {}): object => ({ id, action_type: 'note', provider: 'hook', ...more })
const running = async (at: Place): Promise<Gateway> => serve(at)

test('SIGTERM: no new connections, not ready, what is in flight is answered, exit 0', async () => {
  const held = gate()
  const hook = await receiver(async () => {
    await held.opened
    return { status: 200 }
  })
  const gateway = await running(place(config(hook)))
  const body = JSON.stringify(action('in-flight'))
  const socket = connect(gateway.port, '127.0.0.1')
  let heard = ''
  socket.setEncoding('utf8').on('data', (text: string) => {
    heard += text
  })
  socket.write(
    `POST /v1/dispatch HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: application/json\r\ncontent-length: ${body.length}\r\n\r\n${body}`,
  )
  await until(() => hook.requests === 1, 'the delivery has begun')
  gateway.signal('SIGTERM')
  await stopsAccepting(gateway)
  // Whoever still has a connection is told.
  socket.write('GET /readyz HTTP/1.1\r\nhost: 127.0.0.1\r\n\r\n')
  await until(() => socket.bytesWritten > body.length + 100, 'the question is on its way')
  const asked = performance.now()
  setTimeout(held.open, 300)
  expect(await gateway.ended).toEqual({ code: 0, signal: null })
  expect(performance.now() - asked).toBeLessThan(10_000)
  expect(heard).toMatch(/^HTTP\/1\.1 200 OK[\s\S]*"outcome":"executed"/)
  expect(heard).toMatch(/HTTP\/1\.1 503 Service Unavailable[\s\S]*"code":"not_ready"[\s\S]*shutting down/)
  expect(gateway.stderr).toContain('"msg":"stopped"')
  socket.destroy()
})

test('SIGTERM: nothing held is claimed any more, however long the requests in hand take', async () => {
  const held = gate()
  const hook = await receiver(({ body }) =>
    (JSON.parse(body) as JsonObject)['id'] === 'slow' ? held.opened.then(() => ({ status: 200 })) : undefined,
  )
  const rules =
    'rules: [{ name: later, condition: { field: action.action_type, eq: later }, action: { type: schedule, delay_seconds: 2 } }]\n'
  const at = place({ ...config(hook), 'rules/rules.yaml': rules })
  const first = await running(at)
  const answer = first.dispatch(action('slow'))
  await until(() => hook.requests === 1, 'the delivery has begun')
  const { body } = await first.dispatch(action('later', { action_type: 'later' }))
  first.signal('SIGTERM')
  await stopsAccepting(first)
  await sleep(Date.parse(String(body['scheduled_for'])) + 1500 - Date.now())
  expect(hook.requests).toBe(1)
  held.open()
  expect((await answer).body['outcome']).toBe('executed')
  expect(await first.ended).toEqual({ code: 0, signal: null })

  const second = await running(at)
  await until(() => hook.requests === 2, 'it is released after the start')
  expect(await second.stop()).toBe(0)
})

test('a delivery in back-off becomes a hold: 202 accepted; it goes out after the start, once, with the bytes and the token of before', async () => {
  let down = true
  // What goes out after the start is not answered before the caller has asked again: a short back-off would be over by then.
  const asked = Promise.withResolvers<void>()
  const hook = await receiver(async () => (down ? { status: 503 } : asked.promise.then(() => ({ status: 200 }))))
  const at = place({
    ...config(hook),
    'gateway.toml': `
[executor]
backoff_initial_ms = 2500
backoff_max_ms = 2500
max_retries = 50
[circuit_breaker]
enabled = false
[background]
timeout_check_interval_seconds = 1
${config(hook)['gateway.toml']}`,
  })
  const first = await running(at)
  const answers = [
    first.dispatch(action('keyed'), { 'idempotency-key': 'k' }),
    first.dispatch(action('plain')),
    first.dispatch(action('chained', { action_type: 'chained' })),
    first.dispatch(action('async'), { prefer: 'respond-async' }),
  ]
  await until(() => hook.effects.size === 4, 'each has been tried')
  const signalled = performance.now()
  first.signal('SIGTERM')
  const told = await Promise.all(answers)
  expect(told.map((t) => [t.status, t.body['outcome'], t.body['reason']])).toEqual([
    [202, 'accepted', 'shutting_down'],
    [202, 'accepted', 'shutting_down'],
    [202, 'chain_started', undefined],
    [202, 'accepted', undefined],
  ])
  expect(await first.ended).toEqual({ code: 0, signal: null })
  expect(performance.now() - signalled).toBeLessThan(10_000)

  const before = hook.requests
  down = false
  const second = await running(at)
  const again = await second.dispatch(action('keyed'), { 'idempotency-key': 'k' })
  expect([again.status, again.body['outcome'], again.headers.get('idempotent-replayed')]).toEqual([
    202,
    'accepted',
    'true',
  ])
  asked.resolve()
  for (const id of ['keyed', 'plain', 'chained', 'async'])
    await until(
      async () => (await second.ask('GET', `/v1/actions/${id}`)).body['status'] === 'ended',
      `${id} has been delivered`,
    )
  expect([hook.requests - before, hook.effects.size]).toEqual([4, 4])
  expect(hook.wrong).toEqual([])
  for (const id of ['keyed', 'plain', 'async']) {
    const { body } = await second.ask('GET', `/v1/audit/${id}`)
    expect((body['records'] as readonly JsonObject[]).map((r) => r['outcome'])).toContain('executed')
  }
  expect(await second.stop()).toBe(0)
})

test('a second signal ends it at once; what was under way is found at the next start', async () => {
  const hook = await receiver(async () => new Promise<never>(() => undefined))
  const at = place(config(hook))
  const first = await running(at)
  const cut = Promise.allSettled([
    first.dispatch(action('cut')),
    first.dispatch(action('again', { provider: 'window' })),
  ])
  await until(() => hook.requests === 2, 'both deliveries have begun')
  first.signal('SIGTERM')
  await stopsAccepting(first)
  const signalled = performance.now()
  first.signal('SIGTERM')
  expect((await first.ended).code).toBe(1)
  expect(performance.now() - signalled).toBeLessThan(10_000)
  expect((await cut).map((c) => c.status)).toEqual(['rejected', 'rejected'])

  const second = await running(at)
  // It may have arrived, so it is not sent again by itself; inside a window of deduplication it is.
  const letters = await until(async () => {
    const { body } = await second.ask('GET', '/v1/dlq')
    const found = body['dead_letters'] as readonly JsonObject[]
    return found.length > 0 && found
  }, 'the dead letter')
  expect(letters).toMatchObject([{ action: { id: 'cut' }, code: 'interrupted' }])
  await until(() => hook.requests === 3, 'the other is sent again')
  expect(hook.effects.size).toBe(2)
  expect(hook.wrong).toEqual([])
  second.signal('SIGKILL')
})

test('work that does not end in time is left to its claim: exit 1 when the time is over', async () => {
  const hook = await receiver(async () => new Promise<never>(() => undefined))
  const gateway = await running(place(config(hook, 0.5)))
  const cut = gateway.dispatch(action('slow')).catch((e: unknown) => e)
  await until(() => hook.requests === 1, 'the delivery has begun')
  const signalled = performance.now()
  gateway.signal('SIGTERM')
  expect((await gateway.ended).code).toBe(1)
  const took = performance.now() - signalled
  expect(took).toBeGreaterThan(450)
  expect(took).toBeLessThan(10_000)
  expect(gateway.stderr).toContain('work in hand did not end in time')
  expect(await cut).toBeInstanceOf(TypeError)
})

test('connections that say nothing, or never finish what they say, hold up a stop for a moment only', async () => {
  const hook = await receiver(async () => ({ status: 200 }))
  const gateway = await running(place(config(hook)))
  const whole = JSON.stringify(action('whole'))
  const head = (length: number): string =>
    `POST /v1/dispatch HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: application/json\r\ncontent-length: ${length}\r\n\r\n`
  const said = [
    '',
    'POST /v1/disp',
    'GET /livez HTTP/1.1\r\nhost: 127.0.0.1\r\nx: ',
    `${head(100)}{"id"`,
    `${head(whole.length)}${whole}POST /v1`,
  ]
  const sockets = await Promise.all(
    said.map(
      (text) =>
        new Promise<Socket>((resolve) => {
          const socket = connect(gateway.port, '127.0.0.1', () => socket.write(text, () => resolve(socket)))
          socket.on('error', () => undefined)
        }),
    ),
  )
  await until(() => hook.effects.size === 1, 'the whole one has arrived')
  await until(async () => (await gateway.ask('GET', '/v1/actions/whole')).body['status'] === 'ended', 'and is recorded')
  const signalled = performance.now()
  gateway.signal('SIGTERM')
  expect(await gateway.ended).toEqual({ code: 0, signal: null })
  expect(performance.now() - signalled).toBeLessThan(10_000)
  for (const socket of sockets) socket.destroy()
})

const AS_PROCESS_1 = { NODE_OPTIONS: "--import=data:text/javascript,Object.defineProperty(process,'pid',{value:1})" }
test.each([
  ['SIGTERM', {}, { code: null, signal: 'SIGTERM' }],
  ['SIGTERM', AS_PROCESS_1, { code: 143, signal: null }],
  ['SIGINT', AS_PROCESS_1, { code: 130, signal: null }],
] as const)(
  '%s while it starts ends it, as process 1 of a container too, which must listen to be ended',
  async (name, env, end) => {
    const at = place()
    execFileSync('mkfifo', [at.path('read')])
    const gateway = start(['serve', '-c', 'read'], { cwd: at.folder, env })
    // Opened for writing as soon as somebody reads: it is at its configuration then.
    const file = await open(at.path('read'), 'w')
    gateway.signal(name)
    await file.writeFile('[server]\nport = 0\n').catch(() => undefined) // its reader may be gone by now
    await file.close()
    expect(await gateway.ended).toEqual(end)
    expect(gateway.stdout).toBe('')
  },
)

test('SIGTERM to `npm start` stops the gateway in order', async () => {
  const at = place()
  const npm = start(['start', '--', '-c', at.path('gateway.toml'), '--port', '0'], { cwd: root, command: 'npm' })
  const gateway = await listening(npm)
  expect((await gateway.dispatch({ action_type: 'note' })).status).toBe(200)
  gateway.signal('SIGTERM')
  // Its output ends with the last process that has it: nothing is left behind.
  expect(await gateway.ended).toEqual({ code: 0, signal: null })
  expect(gateway.stderr).toContain('"msg":"stopped"')
  expect(await refusesConnections(gateway.port)).toBe(true)
})

test.each([
  { what: 'one Ctrl-C under npm', signal: 'SIGINT' },
  { what: 'the end of a terminal', signal: 'SIGHUP' },
] as const)('$what comes twice, and is one orderly stop', async ({ signal }) => {
  const held = gate()
  const hook = await receiver(async () => {
    await held.opened
    return { status: 200 }
  })
  const gateway = await running(place(config(hook)))
  const answer = gateway.dispatch(action('held'))
  await until(() => hook.requests === 1, 'the delivery has begun')
  // The terminal's, and the one npm or a shell passes on.
  gateway.signal(signal)
  await sleep(30)
  gateway.signal(signal)
  await stopsAccepting(gateway)
  held.open()
  expect((await answer).status).toBe(200)
  expect(await gateway.ended).toEqual({ code: 0, signal: null })
})

/** A gateway whose process was started by an older Node and handed over to this one. */
function handedOver(): Promise<Gateway> {
  const at = place({
    'older.cjs':
      "if (!process.env.SIGNALBOX_HANDED_OVER) Object.defineProperty(process, 'version', { value: 'v20.1.0' })",
  })
  return listening(
    start([`--require=${at.path('older.cjs')}`, `${root}/src/app/signalbox.cjs`, 'serve', '--port', '0'], {
      cwd: at.folder,
      command: process.execPath,
    }),
  )
}

test('SIGTERM to an older Node is handed on to the one that took over', async () => {
  const gateway = await handedOver()
  expect((await gateway.dispatch({ action_type: 'note' })).status).toBe(200)
  expect(gateway.stderr).not.toContain(`"pid":${gateway.pid},`)
  expect(await gateway.stop()).toBe(0)
  expect(gateway.stderr).toContain('"msg":"stopped"')
})

test('the one that took over ends in order when the older Node is killed', async () => {
  const gateway = await handedOver()
  gateway.signal('SIGKILL')
  expect(await gateway.ended).toEqual({ code: null, signal: 'SIGKILL' })
  expect(gateway.stderr).toContain('"msg":"stopped"')
  expect(await refusesConnections(gateway.port)).toBe(true)
})

test.each([
  { command: 'npm', words: ['run', 'signalbox', '--', 'serve'] },
  { command: 'npx', words: ['signalbox', 'serve'] },
])('SIGTERM to `$command` that runs it leaves nothing behind', async ({ command, words }) => {
  const at = place()
  const npm = { npm_config_cache: at.path('cache'), npm_config_offline: 'true' }
  const gateway = await listening(
    start([...words, '-c', at.path('gateway.toml'), '--port', '0'], { cwd: root, command, env: npm }),
  )
  gateway.signal('SIGTERM')
  // Their output ends with the last process that has it.
  await gateway.ended
  expect(gateway.stderr).toContain('"msg":"stopped"')
  expect(await refusesConnections(gateway.port)).toBe(true)
})
