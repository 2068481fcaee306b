import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import type { Scope } from '../../src/core/action.ts'
import { StateUnavailable, StateUnknown } from '../../src/core/errors.ts'
import type { DisableDetails } from '../../src/core/outcome.ts'
import type { Rules } from '../../src/rules/rules.ts'
import { action, NOON } from './build.ts'
import { rulesWorld } from './rules-world.ts'

const HERE: Scope = ['iot', 'hq']
const THERE: Scope = ['iot', 'branch']
const DETAILS: DisableDetails = {
  at: '2026-01-05T12:00:00.000Z',
  why: 'too often',
  limit: 'max_executions',
  count: 3,
  window: 'PT1M',
  action_id: 'a',
  run_id: 'r',
}

const w = rulesWorld()

/** Ten rules, so that they are looked up; the one that counts is `a`. */
const OTHERS = Array.from(
  { length: 10 },
  (_, i) => `  - { name: r${i}, condition: { field: action.action_type, eq: t${i} }, action: { type: allow } }\n`,
).join('')
const write = (more = '', type = 'reroute, target_provider: event-bus', others = OTHERS) =>
  writeFileSync(
    join(w.dir, 'a.yaml'),
    `rules:\n  - { name: a, priority: -1, action: { type: ${type} }${more} }\n${others}`,
  )

const planIn = (rules: Rules, [namespace, tenant]: Scope) =>
  rules.current().evaluate({ action: action({}, { namespace, tenant }), now: NOON })
/** `on`: it decides; `off`: as if it were not there; `closed`: it decides, and lets nobody in. */
function state(rules: Rules, scope: Scope): 'on' | 'off' | 'closed' {
  const plan = planIn(rules, scope)
  if (!plan.matched.includes('a')) return 'off'
  return plan.limits.some((l) => l.rule === 'a' && l.disabled && l.count === 0) ? 'closed' : 'on'
}
const since = (rules: Rules, scope: Scope) => planIn(rules, scope).limits.find((l) => l.rule === 'a')?.since ?? ''
const trip = (rules: Rules, scope: Scope, more: Partial<Parameters<Rules['trip']>[0]> = {}) =>
  rules.trip({ rule: 'a', scope, since: since(rules, scope), details: DETAILS, records: [], ...more })
const ann = { by: 'ann', why: 'noisy' }

describe('a rule that the gateway switched off in a scope', () => {
  it('lets nobody in there, on every node, and is as before elsewhere', async () => {
    write()
    const rules = await w.open()
    const other = await w.open()
    const { version } = rules.current()
    expect(await trip(rules, HERE)).toEqual({ is: 'stored' })
    for (const node of [rules, other]) {
      expect([state(node, HERE), state(node, THERE)]).toEqual(['closed', 'on'])
      expect(node.get('a', HERE)).toMatchObject({ enabled: false, disabled_by: 'system', disable_details: DETAILS })
      expect(node.get('a', THERE)).toMatchObject({ enabled: true })
      expect(node.get('a')).toMatchObject({
        enabled: true,
        scopes: [{ namespace: 'iot', tenant: 'hq', enabled: false, disabled_by: 'system', disable_details: DETAILS }],
      })
      expect(node.current().version).not.toBe(version)
    }
    expect(rules.current().version).toBe(other.current().version)
    expect(await trip(other, HERE)).toEqual({ is: 'already', details: DETAILS })
  })

  it('by the same plan, linear, looked up or traced', async () => {
    write('', 'copy, target_provider: event-bus')
    const rules = await w.open()
    await trip(rules, HERE)
    const plan = planIn(rules, HERE)
    expect(plan.limits).toMatchObject([{ rule: 'a', count: 0, disabled: DETAILS, mode: 'disable' }])
    const [namespace, tenant] = HERE
    const given = { action: action({}, { namespace, tenant }), now: NOON }
    expect(rules.current().evaluate({ ...given, trace: [] })).toEqual(plan)
    write('', 'copy, target_provider: event-bus', '')
    await rules.reload()
    expect(planIn(rules, HERE)).toEqual(plan)
  })

  it('PITFALLS 5: stays so through reloads and restarts, whatever its file says meanwhile', async () => {
    write()
    const rules = await w.open()
    await trip(rules, HERE)
    for (const more of [', enabled: false', '', ', description: new', ', enabled: false', '']) {
      write(more)
      await rules.reload()
      expect(state(rules, HERE)).toBe(more.includes('false') ? 'off' : 'closed')
    }
    expect(state(await w.open(), HERE)).toBe('closed')
    writeFileSync(join(w.dir, 'a.yaml'), 'rules: []\n')
    await rules.reload()
    write()
    await rules.reload()
    expect(state(rules, HERE)).toBe('closed')
  })

  it('off in its file and switched on in one scope, it is asked there, and there alone, on every node', async () => {
    write(', enabled: false')
    const [rules, other] = [await w.open(), await w.open()]
    await rules.setEnabled('a', true, { by: 'ann', scope: HERE })
    for (const node of [rules, other, await w.open()])
      expect([state(node, HERE), state(node, THERE)]).toEqual(['on', 'off'])
    await rules.setEnabled('a', false, { by: 'ann', scope: HERE })
    for (const node of [rules, other]) expect([state(node, HERE), state(node, THERE)]).toEqual(['off', 'off'])
  })

  it('is switched on by hand, there or everywhere, and counts anew', async () => {
    write()
    const rules = await w.open()
    await trip(rules, HERE)
    await trip(rules, THERE)
    const view = await rules.setEnabled('a', true, { by: 'ann', scope: HERE })
    expect(view).toMatchObject({ enabled: true })
    expect(view).not.toHaveProperty('disabled_by')
    expect([state(rules, HERE), state(rules, THERE)]).toEqual(['on', 'closed'])
    const first = since(rules, HERE)
    expect(first).not.toBe('')
    expect(planIn(rules, HERE).limits[0]!.id).not.toBe(planIn(rules, ['iot', 'third']).limits[0]!.id)

    await trip(rules, HERE)
    await rules.setEnabled('a', true, { by: 'ann' })
    expect([state(rules, HERE), state(rules, THERE)]).toEqual(['on', 'on'])
    expect([since(rules, HERE) === first, since(rules, THERE) === '']).toEqual([false, false])
    expect(rules.get('a')).not.toHaveProperty('scopes')
  })

  it('is not switched off by a run of before a hand switched it on', async () => {
    write()
    const rules = await w.open()
    await trip(rules, HERE)
    await rules.setEnabled('a', true, { by: 'ann', scope: HERE })
    expect(await trip(rules, HERE, { since: '' })).toEqual({ is: 'again' })
    expect(state(rules, HERE)).toBe('on')
    expect(await trip(rules, HERE)).toEqual({ is: 'stored' })
  })

  it('however many meet the limit at once, one writes', async () => {
    write()
    const rules = await w.open()
    let writes = 0
    const put = w.scopeControl.put.bind(w.scopeControl)
    w.scopeControl.put = (...a) => {
      writes++
      return put(...a)
    }
    const at = since(rules, HERE)
    const all = await Promise.all(Array.from({ length: 50 }, () => trip(rules, HERE, { since: at })))
    expect(all.filter((t) => t.is === 'stored')).toHaveLength(1)
    expect(all.filter((t) => t.is === 'already')).toHaveLength(49)
    expect(writes).toBe(1)
  })

  it('a store that is down, or does not answer, is told; the next run is one too many again', async () => {
    write()
    const rules = await w.open()
    const put = w.scopeControl.put.bind(w.scopeControl)
    for (const error of [new StateUnavailable('down'), new StateUnknown('no reply')]) {
      w.scopeControl.put = () => Promise.reject(error)
      await expect(trip(rules, HERE)).rejects.toBe(error)
      expect(state(rules, HERE)).toBe('on')
    }
    w.scopeControl.put = async () => false
    await expect(trip(rules, HERE)).rejects.toThrow(StateUnavailable)
    w.scopeControl.put = put
    expect(await trip(rules, HERE)).toEqual({ is: 'stored' })
  })

  it('… also by a hand: it has not heard that all is done before it is', async () => {
    write()
    const rules = await w.open()
    await trip(rules, HERE)
    const { put, delete: remove } = w.scopeControl
    const down = new StateUnavailable('down')
    w.scopeControl.put = w.scopeControl.delete = () => Promise.reject(down)
    await expect(rules.setEnabled('a', true, ann)).rejects.toBe(down)
    expect(state(rules, HERE)).toBe('closed')
    Object.assign(w.scopeControl, { put, delete: remove })
    await rules.setEnabled('a', true, ann)
    expect(state(rules, HERE)).toBe('on')
  })

  it('one that turns away is never off', async () => {
    write()
    const rules = await w.open()
    await trip(rules, HERE)
    write('', 'deny')
    await rules.reload()
    expect([state(rules, HERE), planIn(rules, HERE).end.kind]).toEqual(['on', 'deny'])
    expect(rules.get('a', HERE)).toMatchObject({ enabled: true })
    write()
    await rules.reload()
    expect(state(rules, HERE)).toBe('closed')
  })
})

describe('a hand, in one scope', () => {
  it('switches a rule off: as if it were not there, and nowhere else', async () => {
    write()
    const rules = await w.open()
    expect(await rules.setEnabled('a', false, { ...ann, scope: HERE })).toMatchObject({
      enabled: false,
      disabled_by: 'ann',
      disable_details: { why: 'noisy', at: '2026-01-05T12:00:00.000Z' },
    })
    expect([state(rules, HERE), state(rules, THERE), state(await w.open(), HERE)]).toEqual(['off', 'on', 'off'])
    // One for everywhere leaves it.
    await rules.setEnabled('a', false, ann)
    await rules.setEnabled('a', true, ann)
    expect([state(rules, HERE), state(rules, THERE)]).toEqual(['off', 'on'])
    await rules.setEnabled('a', true, { by: 'ann', scope: HERE })
    expect(state(rules, HERE)).toBe('on')
  })

  it('switches a rule on that is off everywhere, until it is switched off everywhere again', async () => {
    write()
    const rules = await w.open()
    await rules.setEnabled('a', false, ann)
    await rules.setEnabled('a', true, { by: 'ann', scope: HERE })
    expect([state(rules, HERE), state(rules, THERE)]).toEqual(['on', 'off'])
    expect(rules.get('a')).toMatchObject({ enabled: false, scopes: [{ tenant: 'hq', enabled: true }] })
    expect(await trip(rules, HERE)).toEqual({ is: 'stored' })
    expect([state(rules, HERE), state(rules, THERE)]).toEqual(['closed', 'off'])
    await rules.setEnabled('a', true, { by: 'ann', scope: HERE })
    expect(state(rules, HERE)).toBe('on')
    await rules.setEnabled('a', false, ann)
    expect([state(rules, HERE), state(rules, THERE)]).toEqual(['off', 'off'])
    await rules.setEnabled('a', true, ann)
    expect([state(rules, HERE), state(rules, THERE)]).toEqual(['on', 'on'])
  })

  it('on where it is on anyway is no word of its own: it goes off with the rest', async () => {
    write()
    const rules = await w.open()
    await rules.setEnabled('a', true, { by: 'ann', scope: HERE })
    expect(rules.get('a')).not.toHaveProperty('scopes')
    write(', enabled: false')
    await rules.reload()
    expect(state(rules, HERE)).toBe('off')
  })

  it('takes the place of what the gateway said, and wins until the file says otherwise', async () => {
    write()
    const rules = await w.open()
    await trip(rules, HERE)
    await rules.setEnabled('a', false, { ...ann, scope: HERE })
    expect(rules.get('a', HERE)).toMatchObject({ disabled_by: 'ann' })
    expect(state(rules, HERE)).toBe('off')
    write(', enabled: false')
    await rules.reload()
    write()
    await rules.reload()
    expect(state(rules, HERE)).toBe('on')
  })

  it('what is stored and cannot be read has no effect, and is told', async () => {
    write()
    await w.scopeControl.put('x', '{"rule":')
    await w.scopeControl.put('y', '{"rule":"a","namespace":"iot"}')
    const rules = await w.open()
    expect(state(rules, HERE)).toBe('on')
    expect(w.env.logged.filter((l) => l.level === 'warn')).toHaveLength(2)
  })

  it('the list names a hundred scopes and says how many more there are', async () => {
    write()
    const rules = await w.open()
    for (let i = 0; i < 103; i++) await trip(rules, ['iot', `t${i}`])
    const view = rules.get('a')!
    expect([view.scopes?.length, view.scopes_more]).toEqual([100, 3])
  })
})
