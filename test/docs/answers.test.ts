import { describe, expect, it, onTestFinished } from 'vitest'
import { isObject, type Json, type JsonObject } from '../../src/core/json.ts'
import { type TestGateway, type Told, testGateway } from '../fakes/gateway.ts'
import { badRequest, held, OK, refused, scriptedProvider, serverError, unavailable } from '../fakes/provider.ts'
import { codes, section, table } from './markdown.ts'

/** What docs/api.md says of the fields of the answers, against real answers: none has a field that is not in its table, and every row was seen. */

const page = 'docs/api.md'
const first = (row: readonly string[]): string => codes(row[0] ?? '')[0] ?? ''
const inTable = (heading: string, head: string): readonly string[] => table(page, heading, head).map(first)

/** Of one table: the fields that were seen. */
class Seen {
  readonly #fields = new Set<string>()
  add(...views: readonly (Json | undefined)[]): void {
    for (const view of views) if (isObject(view)) for (const key of Object.keys(view)) this.#fields.add(key)
  }
  get fields(): readonly string[] {
    return [...this.#fields].toSorted()
  }
}
const list = (t: Told, name: string): readonly JsonObject[] => t.body[name] as readonly JsonObject[]

const TOML = `
[executor]
max_retries = 0
[circuit_breaker.providers.away]
failure_threshold = 1
`
async function gateway(given: Parameters<typeof testGateway>[0]): Promise<TestGateway> {
  const g = await testGateway({
    loops: true,
    ...given,
    providers: { out: [OK], bad: [badRequest()], away: [refused()], ...given?.providers },
    toml: `${TOML}${given?.toml ?? ''}`,
  })
  onTestFinished(() => g.close())
  return g
}

const RULES = `
rules:
  - { name: copied, condition: { field: action.action_type, eq: copied }, action: { type: copy, target_provider: out } }
  - { name: copied-away, condition: { field: action.action_type, eq: copied-away }, action: { type: copy, target_provider: away } }
  - { name: limited, condition: { field: action.action_type, eq: limited }, action: { type: throttle, max_count: 1, window_seconds: 60, message: slowly } }
  - { name: once, condition: { field: action.action_type, eq: once }, action: { type: deduplicate, ttl_seconds: 60 } }
  - { name: rare, priority: 1, max_executions: { count: 1, window: PT1H }, condition: { field: action.action_type, eq: rare }, action: { type: allow } }
  - { name: refused, priority: 1, condition: { field: action.action_type, eq: refused }, action: { type: deny, reason: no } }
  - { name: by-floor, priority: 2, condition: { field: action.action_type, eq: humidity }, action: { type: group, group_by: [payload.floor] } }
  - { name: later, priority: 2, condition: { field: action.action_type, in: [later, later-limited] }, action: { type: schedule, delay_seconds: 60 } }
  - { name: limited-later, priority: 3, condition: { field: action.action_type, eq: later-limited }, action: { type: throttle, max_count: 1, window_seconds: 600 } }
  - { name: elsewhere, priority: 4, condition: { field: action.action_type, eq: elsewhere }, action: { type: reroute, target_provider: out, fallback_provider: bad } }
  - { name: wrong-way, priority: 4, condition: { field: action.action_type, eq: wrong-way }, action: { type: reroute, target_provider: bad, fallback_provider: out } }
  - { name: start, priority: 5, condition: { field: action.action_type, eq: trip }, action: { type: chain, chain: trip } }
`
const CHAIN = `
[[chains.definitions]]
name = "trip"
steps = [{ name = "one", provider = "out", action_type = "x" }, { name = "two", provider = "bad", action_type = "y" }]
`

describe('docs/api.md says every field of', () => {
  it('an audit record, with its kinds', async () => {
    const g = await gateway({
      rules: RULES,
      toml: CHAIN,
      providers: { out: [OK], bad: [badRequest()], away: [refused()] },
    })
    const out = { provider: 'out' }
    for (const action_type of ['copied', 'later', 'elsewhere', 'trip']) await g.dispatch({ ...out, action_type })
    await g.dispatch({ ...out, action_type: 'later', id: 'cancelled' })
    const held = list(await g.ask('GET', '/v1/scheduled'), 'scheduled').find((h) => h['action_id'] === 'cancelled')
    await g.ask('DELETE', `/v1/scheduled/${String(held?.['hold_id'])}`)
    await g.dispatch({ ...out, action_type: 'humidity', payload: { floor: 1 } })
    await g.dispatch({ provider: 'away', action_type: 'note' })
    await g.ask('PUT', '/v1/recurring/beat', { ...out, action_type: 'beat', cron_expression: '* * * * *' })
    await g.advance(150_000)
    for (const letter of list(await g.ask('GET', '/v1/dlq'), 'dead_letters'))
      await g.ask('POST', `/v1/dlq/${String(letter['id'])}/redrive`)
    await g.advance(1000)
    const seen = new Seen()
    const records = [...(await g.records()), ...(await g.records('', ''))]
    seen.add(...records)
    expect(seen.fields).toEqual(inTable('An audit record', 'Field of a record').toSorted())
    const kinds = [...new Set(records.map((r) => String(r['kind'])))]
    expect(kinds.toSorted()).toEqual(inTable('An audit record', 'Kind of a record').toSorted())
  })

  it('where an action is, a scheduled action, a group', async () => {
    const hand = held()
    const g = await gateway({ rules: RULES, toml: CHAIN, providers: { out: [hand.answer], bad: [badRequest()] } })
    const [where, hold, group] = [new Seen(), new Seen(), new Seen()]
    const statuses = new Set<string>()
    const places = new Map<string, Seen>()
    const look = async (id: string) => {
      const { body } = await g.ask('GET', `/v1/actions/${id}`)
      where.add(body)
      statuses.add(String(body['status']))
      for (const { place, ...fields } of body['places'] as readonly JsonObject[]) {
        const of = places.get(String(place)) ?? new Seen()
        places.set(String(place), of)
        of.add(fields)
      }
    }
    const holds = async () => hold.add(...list(await g.ask('GET', '/v1/scheduled'), 'scheduled'))
    const action = (id: string, action_type: string) => ({ id, action_type, provider: 'out', payload: { floor: 1 } })

    const begun = g.dispatch(action('sent', 'note'))
    await g.env.clock.settle()
    await look('sent')
    hand.finish(OK)
    await begun
    await look('sent')
    const { body: grouped } = await g.dispatch(action('event', 'humidity'))
    const of = `/v1/groups/${String(grouped['group_id'])}`
    group.add(...list(await g.ask('GET', '/v1/groups'), 'groups'))
    await look('event')
    await g.ask('POST', `${of}/flush`)
    await look('event')
    const { body: sealed } = await g.ask('GET', of)
    group.add(sealed)
    const rows = table(page, 'A group', 'Field of a group')
    const namedIn = (field: string) => codes(rows.find((r) => first(r) === field)?.[1] ?? '').join()
    await g.dispatch(action('open', 'humidity'))
    const { body: open } = await g.ask('GET', of)
    group.add(open)
    for (const e of open['events'] as readonly JsonObject[])
      for (const key of Object.keys(e)) expect(namedIn('events')).toContain(key)
    for (const f of sealed['pending_flushes'] as readonly JsonObject[])
      for (const key of Object.keys(f)) expect(namedIn('pending_flushes')).toContain(key)

    for (const id of ['l1', 'l2']) await g.dispatch(action(id, 'later-limited'))
    await g.ask('PUT', '/v1/quotas/few', { max_actions: 1, window: 'daily', provider: 'away' })
    await g.dispatch({ ...action('counted', 'note'), provider: 'away' })
    // Its copy is put back, as it is over the quota.
    const { body: copied } = await g.dispatch(action('c', 'copied-away'))
    await g.advance(0)
    await g.ask('PUT', '/v1/recurring/beat', { provider: 'out', action_type: 'beat', cron_expression: '* * * * *' })
    await look('l1')
    for (const id of copied['copies'] as readonly string[]) await look(id)
    await g.dispatch(action('t', 'trip'))
    await look('t')
    await g.advance(65_000)
    await holds()
    await look('l2')
    await look('t')
    await g.dispatch({ ...action('dead', 'note'), provider: 'bad' })
    await look('dead')

    expect(where.fields).toEqual(inTable('Where an action is', "Field of an action's whereabouts").toSorted())
    expect([...statuses].toSorted()).toEqual(['dead_letter', 'delivering', 'ended', 'held', 'in_chain'])
    const status = table(page, 'Where an action is', "Field of an action's whereabouts").find(
      (r) => first(r) === 'status',
    )
    expect(codes(status?.[1] ?? '').toSorted()).toEqual([...statuses].toSorted())
    const said = table(page, 'Where an action is', '`place`')
    for (const [place, { fields }] of places) {
      const row = said.find((r) => first(r) === place)
      expect(row, place).toBeDefined()
      const there =
        place === 'chain'
          ? inTable('An execution', 'Field of an execution')
          : place === 'dead_letter'
            ? inTable('A dead letter', 'Field of a dead letter')
            : codes(
                (['copy', 'occurrence'].includes(place) ? said.find((r) => first(r) === 'scheduled') : row)?.[1] ?? '',
              )
      expect(
        fields.filter((f) => !there.includes(f)),
        place,
      ).toEqual([])
    }
    expect([...places.keys()].toSorted()).toEqual(
      said
        .map(first)
        .filter((p) => p !== 'occurrence')
        .toSorted(), // it leaves at the moment it is made
    )
    // Only while a node releases it, only of a delivery, only of an action that itself came of another.
    expect(
      inTable('A scheduled action', 'Field of a scheduled action').filter((f) => !hold.fields.includes(f)),
    ).toEqual(['claimed_until', 'provider', 'parent_id', 'last_error'])
    expect(
      hold.fields.filter((f) => !inTable('A scheduled action', 'Field of a scheduled action').includes(f)),
    ).toEqual([])
    expect(group.fields).toEqual(inTable('A group', 'Field of a group').toSorted())
  })

  it('a dead letter', async () => {
    const g = await gateway({
      rules: RULES,
      toml: CHAIN,
      providers: { out: [OK], bad: [badRequest()], away: [refused()] },
    })
    await g.dispatch({ provider: 'bad', action_type: 'note' })
    await g.dispatch({ provider: 'out', action_type: 'wrong-way' })
    await g.dispatch({ provider: 'out', action_type: 'trip' })
    await g.advance(1000)
    const letters = list(await g.ask('GET', '/v1/dlq'), 'dead_letters')
    const seen = new Seen()
    seen.add(...letters)
    expect(seen.fields).toEqual(inTable('A dead letter', 'Field of a dead letter').toSorted())
    const origin = table(page, 'A dead letter', 'Field of a dead letter').find((r) => first(r) === 'origin')?.[1] ?? ''
    for (const l of letters) for (const key of Object.keys(l['origin'] as JsonObject)) expect(origin).toContain(key)
    expect(letters.map((l) => l['told_caller']).toSorted()).toEqual([false, true, true])
  })

  it('health, as it comes and goes', async () => {
    const g = await gateway({ rules: RULES, toml: CHAIN, providers: { out: [OK], bad: [OK] } })
    const [seen, rules] = [new Seen(), new Seen()]
    const statuses = new Set<string>()
    const look = async () => {
      const { body } = await g.ask('GET', '/health')
      seen.add(body)
      rules.add(body['rules'])
      statuses.add(String(body['status']))
    }
    await look()
    g.writeRules('')
    await g.rules.reload()
    await look()
    g.writeConfig(`${CHAIN}[server]\nhost = "0.0.0.0"\n`)
    await g.rules.reload()
    await look()
    g.writeConfig('[server]\nprot = 1\n')
    await g.rules.reload()
    await look()
    g.stopping.abort()
    await look()
    const rows = table(page, 'Health', 'Field of health')
    expect(seen.fields).toEqual(rows.map(first).toSorted())
    expect(codes(rows.find((r) => first(r) === 'rules')?.[1] ?? '').toSorted()).toEqual(rules.fields)
    const said = codes(rows.find((r) => first(r) === 'status')?.[1] ?? '')
    expect(said.toSorted()).toEqual([...statuses].toSorted())
  })

  it('each outcome', async () => {
    const timeout = Object.assign(serverError(), { timeout: true })
    const g = await gateway({
      rules: RULES,
      toml: CHAIN,
      providers: {
        out: [OK],
        bad: [badRequest()],
        away: [refused()],
        slow: [timeout, OK],
        lost: [timeout],
        busy: scriptedProvider('busy', [unavailable(5000)]),
      },
    })
    await g.ask('PUT', '/v1/quotas/none', { max_actions: 1, window: 'daily', provider: 'slow' })
    const told: JsonObject[] = []
    const send = async (provider: string, action_type: string, more: JsonObject = {}, query = '', headers = {}) =>
      void told.push((await g.dispatch({ provider, action_type, payload: { floor: 1 }, ...more }, headers, query)).body)
    for (const type of ['note', 'copied', 'elsewhere', 'refused', 'humidity', 'later', 'trip']) await send('out', type)
    for (const type of ['limited', 'limited', 'rare', 'rare']) await send('out', type)
    for (const _ of [1, 2]) await send('out', 'once', { dedup_key: 'k' })
    // The second takes over what the first has left unknown; a third is over the quota.
    for (const _ of [1, 2]) await send('slow', 'once', { dedup_key: 'taken-over' })
    await send('slow', 'note')
    for (const _ of [1, 2]) await send('lost', 'once', { dedup_key: 'lost' })
    for (const _ of [1, 2]) await send('away', 'note')
    for (const provider of ['bad', 'busy']) await send(provider, 'note')
    await send('out', 'note', {}, '?dry_run=true')
    await send('out', 'note', {}, '?trace=true')
    await send('out', 'note', {}, '', { prefer: 'respond-async' })

    const common = codes(/Every dispatch ends in .*/.exec(section(page, 'Outcomes'))?.[0] ?? '')
    const rows = table(page, 'Outcomes', 'Outcome', 'HTTP')
    const seen = new Map<string, Set<string>>()
    for (const o of told) {
      const tag = String(o['outcome'])
      const row = rows.find((r) => first(r) === tag)
      expect(row, JSON.stringify(o)).toBeDefined()
      const of = seen.get(tag) ?? new Set()
      seen.set(tag, of)
      for (const key of Object.keys(o)) of.add(key)
      const of2 = tag === 'rerouted' ? `${row![2]} ${rows.find((r) => first(r) === 'executed')![2]}` : row![2]!
      const named = codes(of2).map((c) => c.replace(/:.*/, ''))
      const unsaid = Object.keys(o).filter((k) => !named.includes(k) && !common.includes(k))
      expect(unsaid, `${tag} ${JSON.stringify(o)}`).toEqual([])
    }
    const failed = codes(rows.find((r) => first(r) === 'failed')![2]!).map((c) => c.replace(/:.*/, ''))
    expect(failed.filter((f) => !seen.get('failed')!.has(f))).toEqual([])
    expect([...seen.keys()].toSorted()).toEqual(
      rows
        .map(first)
        .filter((t) => !['suppressed', 'loop_detected'].includes(t))
        .toSorted(),
    )
  })
})
