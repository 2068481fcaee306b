import { describe, expect, test } from 'vitest'
import { testGateway } from '../fakes/gateway.ts'
import { held, OK } from '../fakes/provider.ts'

const OUT = '[rules]\ndefault_provider = "out"\n'

describe('a slow delivery', () => {
  test('holds up no edit that comes after it, and what was replaced closes when its own deliveries have ended', async () => {
    const slow = held()
    const g = await testGateway({ providers: { out: [slow.answer, OK] }, toml: OUT })
    const first = g.dispatch({ action_type: 'note' })
    await g.env.clock.settle()
    const out = g.providers['out']!
    expect(out.inFlight).toBe(1)

    await g.inForce.reload()
    g.writeConfig(OUT, ['out', 'more'])
    await g.inForce.reload()
    expect((await g.dispatch({ action_type: 'note', provider: 'more' })).status).toBe(200)
    for (let edit = 0; edit < 20; edit++) {
      g.writeConfig(`${OUT}[circuit_breaker]\nfailure_threshold = ${edit + 6}\n`, ['out', 'more'])
      await g.inForce.reload()
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
    await g.inForce.reload()
    await g.inForce.reload()
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
      await g.inForce.reload()
      expect(g.config.background.scheduledCheckIntervalSeconds).toBe(every)
    }
    await g.dispatch({ action_type: 'later' })
    await g.advance(5000)
    expect(g.providers['out']!.sent).toHaveLength(2)
    slow.finish(OK)
    await g.close()
  })
})
