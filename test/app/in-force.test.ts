import { describe, expect, test } from 'vitest'
import { testGateway } from '../fakes/gateway.ts'
import { badRequest, held, OK } from '../fakes/provider.ts'

const OUT = '[rules]\ndefault_provider = "out"\n'
/** An edit of what concerns no delivery. */
const edited = (n: number): string => `${OUT}[circuit_breaker]\nfailure_threshold = ${n + 6}\n`
const to = (provider: string): string =>
  `rules:\n  - { name: there, condition: { field: action.action_type, eq: note }, action: { type: reroute, target_provider: ${provider} } }\n`

describe('a slow delivery', () => {
  test('holds up no edit that comes after it, and what was replaced closes when its own deliveries have ended', async () => {
    const slow = held()
    const g = await testGateway({ providers: { out: [slow.answer, OK] }, toml: OUT })
    const first = g.dispatch({ action_type: 'note' })
    await g.env.clock.settle()
    const out = g.providers['out']!
    expect(out.inFlight).toBe(1)

    g.writeConfig(edited(0))
    await g.rules.reload()
    g.writeConfig(OUT, ['out', 'more'])
    await g.rules.reload()
    expect((await g.dispatch({ action_type: 'note', provider: 'more' })).status).toBe(200)
    for (let edit = 0; edit < 20; edit++) {
      g.writeConfig(edited(edit), ['out', 'more'])
      await g.rules.reload()
    }
    await g.env.clock.settle()
    // Those nobody used are closed; the one with the delivery and the one in force are not.
    expect([out.inFlight, out.closed]).toEqual([1, 21])
    slow.finish(OK)
    expect((await first).body).toMatchObject({ outcome: 'executed' })
    await g.env.clock.settle()
    expect(out.closed).toBe(22)
  })

  test('is waited for by a stop, whatever was edited since', async () => {
    const slow = held()
    const g = await testGateway({ providers: { out: [slow.answer] }, toml: OUT })
    const first = g.dispatch({ action_type: 'note' })
    await g.env.clock.settle()
    for (const edit of [0, 1]) {
      g.writeConfig(edited(edit))
      await g.rules.reload()
    }
    let closed = false
    const closing = g.inForce.close().then(() => {
      closed = true
    })
    await g.env.clock.settle()
    expect(closed).toBe(false)
    slow.finish(OK)
    await Promise.all([first, closing])
    expect(g.providers['out']!.closed).toBe(3)
  })

  test('of a background loop holds up no edit of the loops', async () => {
    const slow = held()
    const g = await testGateway({
      providers: { out: [slow.answer, OK] },
      toml: OUT,
      rules:
        'rules:\n  - { name: later, condition: { field: action.action_type, eq: later }, action: { type: schedule, delay_seconds: 1 } }\n',
      loops: true,
    })
    await g.dispatch({ action_type: 'later' })
    await g.advance(3000)
    expect(g.providers['out']!.inFlight).toBe(1)
    for (const every of [2, 3]) {
      g.writeConfig(`${OUT}[background]\nscheduled_check_interval_seconds = ${every}\n`)
      await g.rules.reload()
      expect(g.config.background.scheduledCheckIntervalSeconds).toBe(every)
    }
    await g.dispatch({ action_type: 'later' })
    await g.advance(5000)
    expect(g.providers['out']!.sent).toHaveLength(2)
    slow.finish(OK)
    await g.close()
  })
})

describe('rules and configuration', () => {
  async function renaming() {
    const g = await testGateway({ providers: { out: [OK], p3: [OK] }, rules: to('p3'), toml: OUT })
    const reload = () => g.ask('POST', '/v1/rules/reload')
    const provider = async () => (await g.dispatch({ action_type: 'note' })).body['provider']
    const health = async () => (await g.ask('GET', '/health')).body
    return { ...g, reload, provider, health }
  }
  const renameProvider = (g: Awaited<ReturnType<typeof renaming>>) => g.writeConfig(OUT, ['out', 'p4'])
  const renameInRules = (g: Awaited<ReturnType<typeof renaming>>) => g.writeRules(to('p4'))

  test.each([
    ['the provider first', renameProvider, renameInRules, true],
    ['the rules first', renameInRules, renameProvider, false],
  ])('are judged together as they lie on the disk: a rename in both, %s', async (_, first, second, inConfig) => {
    const g = await renaming()
    const { version } = g.rules.current()
    first(g)
    const refused = await g.reload()
    expect(refused.status).toBe(422)
    expect(refused.text).toMatch(/there is no provider .*p[34]/)
    const health = await g.health()
    expect(health).toMatchObject({ status: 'degraded', rules: { version, error: expect.stringContaining('provider') } })
    expect('config_error' in health).toBe(inConfig)
    expect(await g.provider()).toBe('p3')

    second(g)
    expect((await g.reload()).status).toBe(200)
    expect(await g.health()).toMatchObject({ status: 'ok' })
    expect(await g.health()).not.toHaveProperty('config_error')
    expect(await g.provider()).toBe('p4')
    expect(g.deliver.has('p3')).toBe(false)
  })

  test('are both refused while one of them is wrong by itself, and both in force when it is mended', async () => {
    const g = await renaming()
    g.writeConfig(`${OUT}[server]\nprot = 1\n`)
    g.writeRules('rules:\n  - { name: stop, action: { type: deny } }\n')
    expect((await g.reload()).body['findings']).toMatchObject([
      { file: 'gateway.toml', message: expect.stringMatching(/prot.*port/) },
    ])
    expect((await g.health())['config_error']).toMatch(/gateway\.toml:\d+:1.*prot/)
    expect(await g.provider()).toBe('p3')
    g.writeConfig(OUT)
    expect((await g.reload()).status).toBe(200)
    expect((await g.dispatch({ action_type: 'note' })).body['outcome']).toBe('denied')
    expect(await g.health()).toMatchObject({ status: 'ok' })

    g.writeRules('rules:\n  - { name: stop, action: { type: deni } }\n')
    g.writeConfig(OUT, ['out', 'p3', 'p5'])
    expect((await g.reload()).status).toBe(422)
    expect((await g.health())['config_error']).toMatch(/rules\.yaml.*deni/)
    expect(g.deliver.has('p5')).toBe(false)
    g.writeConfig(OUT, ['out', 'p3'])
    expect((await g.reload()).status).toBe(422)
    // What the file says is in force again; the rules alone are wrong.
    expect(await g.health()).not.toHaveProperty('config_error')
  })

  test('the log has one line for each edit that is refused', async () => {
    const g = await renaming()
    const told = () => g.env.logged.splice(0).flatMap((l) => (l.level === 'error' ? [l.message] : []))
    told()
    g.writeConfig(`${OUT}[server]\nprot = 1\n`)
    await g.reload()
    expect(told()).toEqual(['configuration and rules not loaded; those of before stay in force'])
    g.writeConfig(OUT, ['out', 'p3', 'p5'])
    g.writeRules('rules:\n  - { name: stop, action: { type: deni } }\n')
    await g.reload()
    expect(told()).toEqual(['configuration and rules not loaded; those of before stay in force'])
    g.writeConfig(OUT, ['out', 'p3'])
    await g.reload()
    expect(told()).toEqual(['rules not loaded; those of before stay in force'])
  })

  test('a chain that does not go with those made by the API refuses both', async () => {
    const g = await renaming()
    const steps = [{ name: 's', provider: 'out', action_type: 'x' }]
    expect((await g.ask('PUT', '/v1/chains/definitions/c', { steps })).status).toBe(201)
    g.writeConfig(
      `${OUT}[[chains.definitions]]\nname = "c"\nsteps = [{ name = "s", provider = "out", action_type = "x" }]\n`,
    )
    renameInRules(g)
    expect((await g.reload()).body['findings']).toMatchObject([
      { file: 'gateway.toml', message: expect.stringMatching(/^chains\.definitions\.0.*"c"/) },
    ])
    expect((await g.ask('DELETE', '/v1/chains/definitions/c')).status).toBe(204)
    g.writeRules(to('p3'))
    expect((await g.reload()).status).toBe(200)
    expect(g.chains.definition('c')).toMatchObject({ source: 'file' })
  })

  test.each(['', '# to come\n', '[executor]\nmax_retries = 7\n'])(
    'PITFALLS 1: an edit that leaves no provider changes nothing: %j',
    async (toml) => {
      const g = await renaming()
      g.writeRules('rules: []\n')
      g.writeConfig(toml, [])
      expect((await g.reload()).body['findings']).toMatchObject([
        { file: 'gateway.toml', message: expect.stringContaining('no provider is left of 2') },
      ])
      expect(await g.health()).toMatchObject({
        status: 'degraded',
        config_error: expect.stringContaining('no provider'),
      })
      expect(await g.provider()).toBe('p3')
      g.writeConfig(OUT, ['out'])
      expect((await g.reload()).status).toBe(200)
      expect(await g.provider()).toBe('out')
    },
  )

  test('a load that finds the configuration as it is replaces nothing', async () => {
    const g = await renaming()
    g.writeRules(to('out'))
    expect((await g.reload()).status).toBe(200)
    expect(await g.provider()).toBe('out')
    expect(g.providers['p3']!.closed).toBe(0)
  })

  test('once it stops, no edit is taken over that nobody would end', async () => {
    const g = await renaming()
    await g.inForce.stopLoops()
    g.writeConfig(OUT, ['out', 'p3', 'p5'])
    expect((await g.reload()).text).toContain('the gateway is stopping')
    expect(g.deliver.has('p5')).toBe(false)
  })
})

describe('a provider that is renamed in one edit, with the keys that name it', () => {
  const named = (name: string): string =>
    `[rules]\ndefault_provider = "${name}"\n[dead_letters]\nforward_to = "${name}"\n`

  test('is the default provider at once, of the door and of the rules', async () => {
    const g = await testGateway({ toml: named('out') })
    g.writeConfig(named('out2'), ['out2'])
    expect(await g.rules.reload()).toMatchObject({ ok: true })
    const done = await g.dispatch({ action_type: 'note' })
    expect(done).toMatchObject({ status: 200, body: { outcome: 'executed', provider: 'out2' } })
    expect(g.env.logged.map((l) => l.message)).not.toContain('an edit of these sections needs a restart')
  })

  test('is sent the dead letters', async () => {
    const g = await testGateway({ providers: { p: [badRequest()], out: [OK] }, toml: named('out'), loops: true })
    g.writeConfig(named('out2'), ['p', 'out2'])
    expect(await g.rules.reload()).toMatchObject({ ok: true })
    await g.dispatch({ action_type: 'note', provider: 'p' })
    await g.advance(5000)
    expect(g.providers['out2']!.sent).toHaveLength(1)
    expect(g.providers['out']!.sent).toEqual([])
    await g.close()
  })
})

test.each([
  ['max_retries', []],
  ['deadline_seconds', [{ fields: { sections: ['executor'] } }]],
])(
  '[executor].%s: what providers take over is in force with them, what only a start reads is named',
  async (key, named) => {
    const g = await testGateway({ toml: OUT })
    g.writeConfig(`${OUT}[executor]\n${key} = 7\n`)
    await g.rules.reload()
    expect(g.config.providers[0]!.maxRetries).toBe(key === 'max_retries' ? 7 : 3)
    expect(g.env.logged.filter((l) => l.message === 'an edit of these sections needs a restart')).toMatchObject(named)
  },
)

test('what is no error but should be looked at is in /health, from the start and after an edit, and said once in the log', async () => {
  const far = `${OUT}[server]\nhost = "0.0.0.0"\n`
  const g = await testGateway({ toml: far })
  const seen = async () => (await g.ask('GET', '/health')).body
  const open = expect.stringMatching(/^gateway\.toml:\d+:1: warning: server\.host: whoever can reach 0\.0\.0\.0/)
  expect(await seen()).toMatchObject({ status: 'ok', config_warnings: [open] })

  const off = `${far}body_limit_bytes = 5000\n[quotas]\nenabled = false\n`
  g.writeConfig(off)
  for (let loads = 0; loads < 2; loads++) expect(await g.rules.reload()).toMatchObject({ ok: true })
  const uncounted = expect.stringContaining('quotas.enabled is false')
  const restart_needed = ['server', 'quotas']
  expect(await seen()).toMatchObject({ status: 'warning', config_warnings: [open, uncounted], restart_needed })
  const told = g.env.logged.filter((l) => l.message === 'the configuration has warnings')
  expect(told).toMatchObject([{ fields: { findings: [uncounted] } }])

  g.writeConfig(`${off}[state]\nbackand = "sqlite"\n`)
  expect(await g.rules.reload()).toMatchObject({ ok: false })
  expect(await seen()).toMatchObject({ status: 'degraded', config_warnings: [open, uncounted], restart_needed })
  g.writeConfig(far)
  expect(await g.rules.reload()).toMatchObject({ ok: true })
  expect(await seen()).toMatchObject({ status: 'ok', config_warnings: [open] })
  expect(await seen()).not.toHaveProperty('restart_needed')
})
