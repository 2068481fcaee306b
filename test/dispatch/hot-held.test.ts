import { describe, expect, it } from 'vitest'
import type { JsonObject } from '../../src/core/json.ts'
import { items } from '../http/read.ts'
import { rule, type } from './build.ts'
import { type HotWorld, hotWorld, limited, tally } from './hot-world.ts'

/** Held for ten seconds, then sent by a rule that takes one in an hour. */
const later = rule('later', 1, '{ type: schedule, delay_seconds: 10 }', type('s'))
const gathered = rule('gathered', 2, '{ type: group, group_by: [payload.k], group_wait_seconds: 10 }', type('g'))
const toOther = limited(rule('to-other', 5, '{ type: reroute, target_provider: other }'), 1, 'PT1H')

const world = (...set: readonly string[]) => hotWorld([later, gathered, toOther], { loops: true, set })
const held = async (w: HotWorld, what: string): Promise<readonly JsonObject[]> =>
  items(await w.g.ask('GET', `/v1/${what}`), what)

describe('SPEC 4: what was accepted is not dropped by a limit', () => {
  it('a release that is one too many goes back, and leaves once a hand has switched the rule on', async () => {
    const w = await world()
    for (let i = 0; i < 3; i++) expect((await w.send('s')).body['outcome']).toBe('scheduled')
    await w.g.advance(12_000)
    expect(w.other.sent).toHaveLength(1)
    expect(await w.standing()).toMatchObject({ enabled: false, disabled_by: 'system' })
    const waiting = await held(w, 'scheduled')
    expect(waiting).toMatchObject([{ last_refusal: 'hot' }, { last_refusal: 'hot' }])
    for (const h of waiting) {
      const wait = Date.parse(String(h['scheduled_for'])) - w.g.env.clock.now()
      expect(wait).toBeGreaterThan(55_000)
      expect(wait).toBeLessThan(75_000)
    }
    // Waiting for a hand uses up no attempts: 20 of them would be over in half an hour.
    await w.g.advance(1_800_000)
    expect((await held(w, 'scheduled')).map((h) => h['attempts'])).toEqual([0, 0])
    expect(w.other.sent).toHaveLength(1)
    expect(tally((await w.g.records()).map((r) => `${String(r['kind'])} ${String(r['outcome'])}`))).toEqual({
      'dispatch scheduled': 3,
      'release rerouted': 1,
    })

    await w.switchTo(true)
    await w.g.advance(80_000)
    expect(w.other.sent).toHaveLength(2)
    await w.switchTo(true)
    await w.g.advance(80_000)
    expect(w.other.sent).toHaveLength(3)
    expect(await held(w, 'scheduled')).toEqual([])
    await w.g.close()
  })

  it('and is a dead letter once it is too old', async () => {
    const w = await world('background.hold_max_age_seconds=200')
    for (let i = 0; i < 2; i++) await w.send('s')
    await w.g.advance(200_000)
    expect(await held(w, 'scheduled')).toHaveLength(1)
    await w.g.advance(100_000)
    expect(await held(w, 'scheduled')).toEqual([])
    const letters = items(await w.g.ask('GET', '/v1/dlq'), 'dead_letters')
    expect(letters).toMatchObject([{ code: 'hot', told_caller: false }])
    expect((await w.g.records()).filter((r) => r['outcome'] === 'failed')).toMatchObject([
      { kind: 'release', rule: 'to-other', details: { code: 'hot' } },
    ])
    await w.g.close()
  })

  it('so does a flush, with the same events', async () => {
    const w = await world()
    await w.send('x')
    for (let i = 0; i < 3; i++) await w.send('g', { payload: { k: 1 }, id: `g${i}` })
    await w.g.advance(20_000)
    expect(w.other.sent).toHaveLength(1)
    expect((await w.g.ask('GET', '/v1/actions/g0')).status).toBe(200)
    await w.g.advance(600_000)
    await w.switchTo(true)
    await w.g.advance(80_000)
    expect(w.other.sent).toHaveLength(2)
    const { events } = (w.other.sent[1]!.request as { payload: { events: readonly JsonObject[] } }).payload
    expect(events.map((e) => e['action_id'])).toEqual(['g0', 'g1', 'g2'])
    await w.g.close()
  })

  it('a rule that holds and is off holds nothing more; what it held before is delivered', async () => {
    const few = limited(later, 2)
    const w = await hotWorld([few], { loops: true })
    expect(await w.times(3, () => w.send('s'))).toEqual(['scheduled', 'scheduled', 'hot'])
    await w.g.advance(12_000)
    expect(w.out.sent).toHaveLength(2)
    await w.g.close()
  })
})
