import * as fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import type { JsonObject } from '../../src/core/json.ts'
import { items } from '../http/read.ts'
import { rule, type } from './build.ts'
import { hotWorld, limited, stored, tally, toOther } from './hot-world.ts'

const AT = '2026-01-05T12:00:00.000Z'
const elsewhere = { namespace: 'other', tenant: 'one' }

describe('a rule over its own limit', () => {
  it('is switched off in that scope: nothing is sent, 409, audited, and it is no run', async () => {
    const { g, other, out, send, times, standing } = await hotWorld([limited(toOther, 2)])
    expect(await times(2, () => send())).toEqual(['rerouted', 'rerouted'])
    const told = await send('a', { id: 'third' })
    const details = {
      at: AT,
      why: 'rule "to-other" has had more than 2 runs in PT1M',
      limit: 'max_executions',
      count: 2,
      window: 'PT1M',
      action_id: 'third',
      run_id: String(told.body['run_id']),
    }
    expect([told.status, told.headers.get('signalbox-outcome')]).toEqual([409, 'hot'])
    expect(told.body).toEqual({
      action_id: 'third',
      run_id: expect.any(String),
      outcome: 'hot',
      rule: 'to-other',
      disable_details: details,
    })
    expect([other.sent.length, out.sent.length]).toEqual([2, 0])
    const records = items(await g.ask('GET', '/v1/audit/third'), 'records')
    expect(records).toMatchObject([
      { outcome: 'hot', kind: 'dispatch', rule: 'to-other', run_id: details.run_id, matched: ['to-other'] },
    ])
    expect(records[0]!['details']).toEqual({ disable_details: details })
    expect(await g.records('', '')).toMatchObject([
      {
        action_type: 'rule disabled',
        caller: 'system',
        details: { rule: 'to-other', namespace: 'default', tenant: 'default', enabled: false, ...details },
      },
    ])
    expect(await standing()).toMatchObject({ enabled: false, disabled_by: 'system', disable_details: details })
    expect((await g.ask('GET', '/metrics')).text).toContain('signalbox_outcomes_total{kind="dispatch",outcome="hot"} 1')
    expect((await g.ask('GET', '/v1/actions/third')).body).toMatchObject({ records: [{ outcome: 'hot' }] })
  })

  it('PITFALLS 1: stays where it stands: what it matches is refused, not let by to another provider', async () => {
    const { other, out, send, times } = await hotWorld([limited(toOther, 1)])
    await send()
    expect(tally(await times(5, () => send()))).toEqual({ hot: 5 })
    expect(await times(1, () => send('b'))).toEqual(['executed'])
    expect([other.sent.length, out.sent.length]).toEqual([1, 1])
  })

  it('PITFALLS 80: other scopes are untouched, whatever their names', async () => {
    const { g, send, times, standing } = await hotWorld([limited(toOther, 1)])
    const scopes = [elsewhere, { namespace: 'a:b', tenant: 'c' }, { namespace: 'a', tenant: 'b:c' }]
    expect(await times(2, () => send())).toEqual(['rerouted', 'hot'])
    for (const scope of scopes) expect(await times(1, () => send('a', scope))).toEqual(['rerouted'])
    expect(await times(1, () => send('a', scopes[1]!))).toEqual(['hot'])
    expect(await times(1, () => send('a', scopes[2]!))).toEqual(['hot'])
    expect((await standing('to-other', '?namespace=other&tenant=one')).enabled).toBe(true)
    const { scopes: off } = await standing()
    expect((off as JsonObject[]).map((s) => [s['namespace'], s['tenant'], s['enabled'], s['disabled_by']])).toEqual([
      ['a', 'b:c', false, 'system'],
      ['a:b', 'c', false, 'system'],
      ['default', 'default', false, 'system'],
    ])
    expect(await g.records('other', 'one')).toMatchObject([{ outcome: 'rerouted' }])
  })

  it('stays off after the window, a restart and every edit of its file, until a hand switches it on', async () => {
    const text = limited(toOther, 1)
    const first = await hotWorld([text])
    await first.times(2, () => first.send())
    await first.g.advance(3_600_000)
    expect(await first.times(1, () => first.send())).toEqual(['hot'])
    const { env } = first.g
    const { g, send, times, standing, switchTo } = await hotWorld([text], {
      env,
      memory: await first.g.memory.restart(),
    })
    expect(await times(1, () => send())).toEqual(['hot'])
    for (const edit of ['    enabled: false\n', '', '    description: edited\n']) {
      g.writeRules(`rules:\n${text}${edit}`)
      await g.rules.reload()
    }
    expect(await standing()).toMatchObject({ enabled: false, disabled_by: 'system' })
    expect(await times(1, () => send())).toEqual(['hot'])

    const on = await switchTo(true, { namespace: 'default', tenant: 'default' })
    expect(on.body).toMatchObject({ enabled: true })
    expect(on.body['disabled_by']).toBeUndefined()
    // The counting begins anew: else the first would be one too many again.
    expect(await times(2, () => send())).toEqual(['rerouted', 'hot'])
    expect((await switchTo(true)).body).toMatchObject({ enabled: true })
    expect(await times(2, () => send())).toEqual(['rerouted', 'hot'])
  })

  it('is as if not there while its file says so, and off again when it does no more', async () => {
    const text = limited(toOther, 1)
    const { g, out, send, times } = await hotWorld([text])
    await times(2, () => send())
    g.writeRules(`rules:\n${text}    enabled: false\n`)
    await g.rules.reload()
    expect(await times(1, () => send())).toEqual(['executed'])
    expect(out.sent).toHaveLength(1)
    g.writeRules(`rules:\n${text}`)
    await g.rules.reload()
    expect(await times(1, () => send())).toEqual(['hot'])
  })

  it('whatever is refused is no run: duplicates, throttled, over quota, denied', async () => {
    const dedup = rule('once', 1, '{ type: deduplicate, ttl_seconds: 600 }', type('a'))
    const few = rule('few', 2, '{ type: throttle, max_count: 2, window_seconds: 1 }', type('a'))
    const no = rule('no', 3, '{ type: deny }', '{ field: action.payload.bad, eq: true }')
    const { g, send, standing, times } = await hotWorld([dedup, few, no, limited(toOther, 4)])
    await g.ask('PUT', '/v1/quotas/q', { max_actions: 4, window: 'hourly', overage_behavior: 'block' })
    const tags = async (...list: JsonObject[]) => {
      const got: unknown[] = []
      for (const a of list) got.push((await send('a', a)).body['outcome'])
      return got
    }
    expect(await tags({ id: '1' }, { id: '1' }, { id: '2' }, { id: '3' })).toEqual([
      'rerouted',
      'deduplicated',
      'rerouted',
      'throttled',
    ])
    await g.advance(1000)
    expect(await tags({ payload: { bad: true } }, { id: '4' }, { id: '5' })).toEqual(['denied', 'rerouted', 'rerouted'])
    await g.advance(1000)
    expect(await tags({ id: '6' })).toEqual(['quota_exceeded'])
    expect((await standing()).enabled).toBe(true)
    await g.ask('DELETE', '/v1/quotas/q')
    expect(await times(1, () => send())).toEqual(['hot'])
  })

  it('is never over, however many come at once, and says once that it is off', async () => {
    const { g, other, send } = await hotWorld([limited(toOther, 7)])
    const told = await Promise.all(Array.from({ length: 60 }, () => send()))
    expect(tally(told.map((t) => t.body['outcome']))).toEqual({ rerouted: 7, hot: 53 })
    expect(other.sent).toHaveLength(7)
    expect(await g.records('', '')).toHaveLength(1)
    expect(tally((await g.records()).map((r) => r['outcome']))).toEqual({ rerouted: 7, hot: 53 })
    expect(new Set(told.flatMap((t) => t.body['disable_details'] ?? []).map((d) => JSON.stringify(d))).size).toBe(1)
    const batch = await g.ask('POST', '/v1/dispatch/batch', [
      { action_type: 'a', provider: 'out' },
      { action_type: 'b', provider: 'out' },
    ])
    expect(batch.body['results']).toMatchObject([{ status: 409, outcome: 'hot' }, { status: 200 }])
  })

  it('frees the Idempotency-Key: the same request is admitted once the rule is on again', async () => {
    const { send, switchTo, other } = await hotWorld([limited(toOther, 1)])
    await send('a', {}, { 'idempotency-key': 'k0' })
    const key = { 'idempotency-key': 'k1' }
    const body = { id: 'same' }
    expect((await send('a', body, key)).body['outcome']).toBe('hot')
    const again = await send('a', body, key)
    expect([again.body['outcome'], again.headers.get('idempotent-replayed')]).toEqual(['hot', null])
    await switchTo(true)
    expect((await send('a', body, key)).body['outcome']).toBe('rerouted')
    expect((await send('a', body, key)).headers.get('idempotent-replayed')).toBe('true')
    expect(other.sent).toHaveLength(2)
  })

  it('a repetition of what was answered before is answered so, hot or not', async () => {
    const { send, times } = await hotWorld([limited(toOther, 1)])
    const key = { 'idempotency-key': 'k' }
    const first = await send('a', { id: 'x' }, key)
    expect(await times(1, () => send())).toEqual(['hot'])
    const again = await send('a', { id: 'x' }, key)
    expect([again.status, again.body]).toEqual([200, first.body])
  })

  it('an asynchronous dispatch is refused at once', async () => {
    const { send } = await hotWorld([limited(toOther, 1)])
    expect((await send('a', {}, { prefer: 'respond-async' })).status).toBe(202)
    expect((await send('a', {}, { prefer: 'respond-async' })).status).toBe(409)
  })

  it('a dry run says so, with the limit in the plan, and trips nothing; the trace tells', async () => {
    const { g, send, standing } = await hotWorld([limited(toOther, 1)])
    const dry = async () => {
      const t = await g.dispatch({ action_type: 'a', provider: 'out' }, {}, '?dry_run=true&trace=true')
      return t.body
    }
    const limit = { type: 'max_executions', rule: 'to-other', count: 1, window: 'PT1M', mode: 'disable' }
    expect(await dry()).toMatchObject({ verdict: 'rerouted', plan: { limits: [limit] } })
    await send()
    expect(await dry()).toMatchObject({ verdict: 'hot', rule: 'to-other', plan: { limits: [limit] } })
    expect((await standing()).enabled).toBe(true)
    await send()
    expect(await dry()).toMatchObject({
      verdict: 'hot',
      plan: { limits: [{ rule: 'to-other', disabled_by: 'system' }] },
      trace: [{ rule: 'to-other', matched: true, effect: expect.stringContaining('switched off by the system') }],
    })
  })

  it('counts what only asks or changes too, when it says so; and never what turns away', async () => {
    const mark = limited(rule('mark', 1, '{ type: modify, changes: { seen: true } }', type('a')), 1)
    const no = limited(rule('no', 2, '{ type: deny }', type('b')), 1)
    const { g, send, times } = await hotWorld([mark, no])
    expect(await times(2, () => send())).toEqual(['executed', 'hot'])
    expect(await times(3, () => send('b'))).toEqual(['denied', 'denied', 'denied'])
    expect(g.rules.lastLoad.findings).toMatchObject([
      { severity: 'warning', message: expect.stringContaining('"max_executions" has no effect here: deny') },
    ])
  })

  it('a deny stays a deny behind a rule that is off', async () => {
    const mark = limited(rule('mark', 1, '{ type: modify, changes: { seen: true } }', type('a')), 1)
    const no = rule('no', 2, '{ type: deny }', '{ field: action.payload.bad, eq: true }')
    const { send, times } = await hotWorld([mark, no])
    await times(2, () => send())
    expect(await times(1, () => send('a', { payload: { bad: true } }))).toEqual(['denied'])
  })

  it('a rule that came to turn away is on, whatever was said of it when it still sent', async () => {
    const { g, send, times, standing } = await hotWorld([limited(toOther, 1)])
    await times(2, () => send())
    g.writeRules(`rules:\n${rule('to-other', 5, '{ type: suppress }', type('a'))}`)
    await g.rules.reload()
    expect(await times(1, () => send())).toEqual(['suppressed'])
    expect((await standing()).enabled).toBe(true)
  })

  it('what a copy rule would add is not added, nor what it is added to sent', async () => {
    const copy = limited(rule('copied', 1, '{ type: copy, target_provider: other }', type('a')), 1)
    const { g, other, out, send, times } = await hotWorld([copy], { loops: true })
    expect(await times(2, () => send())).toEqual(['executed', 'hot'])
    await g.advance(2000)
    expect([out.sent.length, other.sent.length]).toEqual([1, 1])
  })
})

describe('a limit, as a law', () => {
  it('each scope has its own: exactly what is over it in its own window is hot, and all that follows there', async () => {
    const scopes = ['a', 'b', 'c'].map((tenant) => ({ namespace: 'n', tenant }))
    const steps = fc.array(fc.tuple(fc.nat(2), fc.integer({ min: 0, max: 9000 })), { minLength: 20, maxLength: 60 })
    await fc.assert(
      fc.asyncProperty(steps, fc.integer({ min: 1, max: 5 }), async (list, count) => {
        const { g, send, other } = await hotWorld([limited(toOther, count, 'PT10S')])
        const ran = scopes.map((): number[] => [])
        const off = scopes.map(() => false)
        for (const [which, gap] of list) {
          await g.advance(gap)
          const now = g.env.clock.now()
          const mine = ran[which]!
          off[which] ||= mine.filter((t) => t > now - 10_000).length >= count
          const { body } = await send('a', scopes[which]!)
          expect(body['outcome']).toBe(off[which] ? 'hot' : 'rerouted')
          if (!off[which]) mine.push(now)
        }
        expect(other.sent).toHaveLength(ran.flat().length)
      }),
      { numRuns: 25, seed: 80 },
    )
  })
})

describe('the general limits', () => {
  const general = (mode: string) => ({ set: [`hot_rules.mode=${mode}`, 'hot_rules.rule_limit.count=3'] })

  it('PITFALLS 80: as they are by default, no ordinary traffic switches anything off, in any scope', async () => {
    const list = [
      toOther,
      rule('grouped', 6, '{ type: group, group_by: [payload.k], group_wait_seconds: 1 }', type('g')),
      rule('later', 7, '{ type: schedule, delay_seconds: 1 }', type('s')),
      rule('copied', 8, '{ type: copy, target_provider: other }', type('c')),
      rule('rest', 9, '{ type: allow }'),
    ]
    const { g, send } = await hotWorld(list, { loops: true })
    for (let i = 0; i < 12; i++) {
      const told = await Promise.all(
        ['a', 'g', 's', 'c', 'b'].flatMap((t) =>
          Array.from({ length: 20 }, (_, n) => send(t, { namespace: `n${n % 2}`, payload: { k: n } })),
        ),
      )
      expect(told.filter((t) => t.status >= 400)).toEqual([])
      await g.advance(1500)
    }
    await g.advance(60_000)
    expect(await stored(g, 'rule_scopes')).toEqual([])
    for (const namespace of ['n0', 'n1']) {
      const records = await g.records(namespace)
      expect(records.filter((r) => r['outcome'] === 'hot' || r['outcome'] === 'failed')).toEqual([])
    }
    expect((await g.ask('GET', '/metrics')).text).toMatch(
      /rule_limit_warnings_total\{rule="rest",limit="rule_limit"\} \d+/,
    )
    await g.close()
  })

  it('warn: the run passes with a word in its outcome and record, a count, and a log line once a minute', async () => {
    const { g, other, send } = await hotWorld([toOther], general('warn'))
    const warnings: unknown[] = []
    for (let i = 0; i < 6; i++) warnings.push((await send()).body['warnings'])
    const text = 'hot: rule "to-other" has had more than 3 runs in PT30S'
    expect(warnings).toEqual([undefined, undefined, undefined, [text], [text], [text]])
    expect(other.sent).toHaveLength(6)
    expect((await g.records()).map((r) => (r['details'] as JsonObject)['warnings'])).toEqual(warnings)
    expect((await g.ask('GET', '/metrics')).text).toContain(
      'signalbox_rule_limit_warnings_total{rule="to-other",limit="rule_limit"} 3',
    )
    const lines = () => g.env.logged.filter((l) => l.message.includes('has had more than'))
    expect(lines()).toEqual([
      {
        level: 'warn',
        message: 'rule "to-other" has had more than 3 runs in PT30S',
        fields: { rule: 'to-other', namespace: 'default', tenant: 'default', limit: 'rule_limit', runs_over: 1 },
      },
    ])
    await g.advance(61_000)
    expect((await send()).body['warnings']).toBeUndefined()
    for (let i = 0; i < 3; i++) await send()
    expect(lines().map((l) => (l.fields as JsonObject)['runs_over'])).toEqual([1, 3])
    expect((await g.dispatch({ action_type: 'b', provider: 'out' })).body['warnings']).toBeUndefined()
    const t = await g.dispatch({ action_type: 'a', provider: 'out', namespace: 'quiet' })
    expect(t.body['warnings']).toBeUndefined()
  })

  it('warn: what is refused is not counted', async () => {
    const once = rule('once', 1, '{ type: deduplicate, ttl_seconds: 60 }')
    const { send } = await hotWorld([once, toOther], general('warn'))
    for (let i = 0; i < 9; i++) await send('a', { id: 'same' })
    expect((await send()).body['warnings']).toBeUndefined()
  })

  it('disable: over it the rule is off in that scope', async () => {
    const { send, times, standing } = await hotWorld([toOther], general('disable'))
    expect(await times(5, () => send())).toEqual(['rerouted', 'rerouted', 'rerouted', 'hot', 'hot'])
    expect(await standing()).toMatchObject({
      disabled_by: 'system',
      disable_details: { limit: 'rule_limit', count: 3, window: 'PT30S' },
    })
    expect(await times(1, () => send('a', elsewhere))).toEqual(['rerouted'])
  })

  it('off: nothing is counted, of no kind', async () => {
    const { g, send, back, times } = await hotWorld([toOther], {
      set: [...general('off').set, 'hot_rules.internal_limit.count=1'],
    })
    expect(tally(await times(9, () => send()))).toEqual({ rerouted: 9 })
    expect(tally(await times(9, () => back()))).toEqual({ rerouted: 9 })
    expect((await g.records()).some((r) => 'warnings' in (r['details'] as object))).toBe(false)
  })

  it("a rule's own limit is in their place, also where it is wider", async () => {
    const { send, times } = await hotWorld([limited(toOther, 6)], general('disable'))
    expect(tally(await times(7, () => send()))).toEqual({ rerouted: 6, hot: 1 })
  })

  it('for what came from the gateway itself: 20 in 5 minutes, and the rule is off, unless the configuration says otherwise', async () => {
    const { g, back, send, times, standing } = await hotWorld([toOther])
    expect(tally(await times(40, () => send()))).toEqual({ rerouted: 40 })
    expect(tally(await times(20, () => back()))).toEqual({ rerouted: 20 })
    const over = await back('a', { id: 'over' })
    expect(over.body).toMatchObject({
      outcome: 'hot',
      disable_details: { limit: 'internal_limit', count: 20, window: 'PT5M', action_id: 'over' },
    })
    expect(await standing()).toMatchObject({ enabled: false, disabled_by: 'system' })
    expect(await times(1, () => send())).toEqual(['hot'])
    expect(g.env.logged.filter((l) => l.level === 'error')).toMatchObject([
      { fields: { rule: 'to-other', namespace: 'default', limit: 'internal_limit' } },
    ])

    const calm = await hotWorld([toOther], {
      set: ['hot_rules.internal_mode=warn', 'hot_rules.internal_limit.count=1'],
    })
    await calm.back()
    expect((await calm.back()).body).toMatchObject({
      outcome: 'rerouted',
      warnings: ['hot: rule "to-other" has had more than 1 run in PT5M for actions that came from the gateway itself'],
    })
  })

  it('what was only held on its way is no action of the gateway itself', async () => {
    const { g, other, send } = await hotWorld([rule('later', 1, '{ type: schedule, delay_seconds: 1 }'), toOther], {
      loops: true,
      set: ['hot_rules.internal_limit.count=1'],
    })
    for (let i = 0; i < 5; i++) await send()
    await g.advance(5000)
    expect(other.sent).toHaveLength(5)
    await g.close()
  })
})
