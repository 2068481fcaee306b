import { describe, expect, test } from 'vitest'
import type { AuditRow } from '../../src/core/audit.ts'
import { type BreakerChange, type Breakers, createBreakers } from '../../src/delivery/breakers.ts'
import { fakeClock } from '../fakes/clock.ts'
import { testEnv } from '../fakes/env.ts'
import { badRequest, refused } from '../fakes/provider.ts'
import { sharedControl } from './control.ts'

const settings = { failureThreshold: 2, successThreshold: 1, recoveryMs: 60_000, fallback: 'dlq' }
const table = new Map([['p', settings]])

function cluster(n = 1, opts: { lagMs?: number; writeMs?: number; table?: typeof table } = {}) {
  const clock = fakeClock()
  const control = sharedControl(clock, opts.lagMs, opts.writeMs)
  const env = testEnv({ clock })
  const changes: BreakerChange[] = []
  const row = (change: BreakerChange): AuditRow => {
    changes.push(change)
    return { json: `${change.from} to ${change.to}` } as AuditRow
  }
  const start = () => createBreakers({ control: control.node(), env, breakers: opts.table ?? table, row })
  return { clock, control, env, start, changes, nodes: Array.from({ length: n }, start) }
}
const ATTEMPT_MS = 1000
/** One attempt that ends so; false when it was refused. */
async function go(b: Breakers, end: 'ok' | 'fail' | 'permanent'): Promise<boolean> {
  const admission = await b.admit('p', ATTEMPT_MS)
  if (!admission.admitted) return false
  const attempt = async () => {
    if (end === 'ok') return 1
    throw end === 'fail' ? refused() : badRequest()
  }
  await b.run('p', admission, attempt).catch((e: unknown) => e)
  return true
}

test('nothing is written while it is closed', async () => {
  const { control, nodes } = cluster()
  for (let i = 0; i < 20; i++) {
    await go(nodes[0]!, 'fail')
    await go(nodes[0]!, 'ok')
    await go(nodes[0]!, 'permanent')
  }
  expect(control.writes).toBe(0)
  expect(nodes[0]!.get('p')).toMatchObject({ state: 'closed', failures: 0 })
})

test('the guide: 2 failures open it, 60 s later one probe closes it; the view tells all along', async () => {
  const { clock, nodes } = cluster()
  const [b] = nodes
  const changes: BreakerChange[] = []
  b!.onChange((c) => changes.push(c))
  const t0 = clock.now()
  await go(b!, 'fail')
  expect(b!.get('p')).toMatchObject({ state: 'closed', failures: 1 })
  await go(b!, 'fail')
  expect(b!.get('p')).toMatchObject({
    provider: 'p',
    state: 'open',
    failures: 2,
    opened_at: new Date(t0).toISOString(),
    retry_at: new Date(t0 + 60_000).toISOString(),
    failure_threshold: 2,
    success_threshold: 1,
    recovery_timeout_seconds: 60,
    fallback_provider: 'dlq',
    stats: { fires: 2, failures: 2 },
  })
  expect(await go(b!, 'ok')).toBe(false)
  await clock.advance(59_999)
  expect(b!.look('p')).toEqual({ admitted: false, retryAt: t0 + 60_000 })
  await clock.advance(1)
  expect(b!.get('p')!.state).toBe('half_open')
  expect(b!.look('p').admitted).toBe(true)
  expect(await go(b!, 'ok')).toBe(true)
  expect(b!.get('p')).toMatchObject({ state: 'closed', failures: 0 })
  expect(changes.map((c) => `${c.from}>${c.to}`)).toEqual(['closed>open', 'open>half_open', 'half_open>closed'])
})

test('a trip reaches every node within a second and survives a restart', async () => {
  const { clock, nodes, start } = cluster(2)
  await go(nodes[0]!, 'fail')
  await go(nodes[0]!, 'fail')
  await clock.advance(1000)
  expect(nodes[1]!.look('p').admitted).toBe(false)
  const again = start()
  expect(again.get('p')).toMatchObject({ state: 'open', failures: 2 })
})

test('trip and reset by hand: who and why are shown, told and audited; the count begins again everywhere', async () => {
  const { clock, control, nodes } = cluster(2)
  const [a, b] = nodes
  const record = { id: 'r1' } as AuditRow
  const changes: BreakerChange[] = []
  b!.onChange((c) => changes.push(c))
  expect(await a!.trip('p', { by: 'ann', why: 'maintenance', record })).toBe(true)
  expect(a!.get('p')).toMatchObject({ state: 'open', failures: 0, by: 'ann', why: 'maintenance' })
  await clock.advance(1000)
  expect(b!.get('p')).toMatchObject({ state: 'open', by: 'ann', why: 'maintenance' })
  expect(changes).toMatchObject([{ provider: 'p', from: 'closed', to: 'open', by: 'ann', why: 'maintenance' }])
  expect(control.records).toEqual([record, { json: 'closed to open' }])
  await a!.reset('p', { by: 'bob' })
  await clock.advance(1000)
  expect(b!.get('p')).toMatchObject({ state: 'closed', by: 'bob' })
  // One failure before a reset and one after do not add up.
  await go(b!, 'fail')
  await a!.reset('p', { by: 'bob' })
  await clock.advance(1000)
  await go(b!, 'fail')
  expect(b!.get('p')).toMatchObject({ state: 'closed', failures: 1 })
  expect(await a!.trip('nobody', { by: 'ann' })).toBe(false)
})

describe('half-open', () => {
  async function opened(n: number, opts: Parameters<typeof cluster>[1] = {}) {
    const c = cluster(n, opts)
    const over = async <T>(p: Promise<T>): Promise<T> => {
      await c.clock.advance(10)
      return p
    }
    await over(go(c.nodes[0]!, 'fail'))
    await over(go(c.nodes[0]!, 'fail'))
    await c.clock.advance(61_000)
    return c
  }
  test('one probe over all nodes and callers, asked for at the same moment', async () => {
    const { clock, nodes } = await opened(3, { writeMs: 5 })
    const asked = nodes.flatMap((b) => [b.admit('p', ATTEMPT_MS), b.admit('p', ATTEMPT_MS)])
    await clock.advance(1000)
    const got = await Promise.all(asked)
    expect(got.filter((a) => a.admitted)).toHaveLength(1)
    for (const b of nodes) expect(b.look('p').admitted).toBe(false)
  })
  test('PITFALLS 34: a probe that fails permanently, one never made, and one that died: the slot is free again', async () => {
    const { clock, nodes } = await opened(1)
    const b = nodes[0]!
    expect(await go(b, 'permanent')).toBe(true)
    expect(b.get('p')!.state).toBe('half_open')
    const unused = await b.admit('p', ATTEMPT_MS)
    expect(unused.admitted && unused.probe !== undefined).toBe(true)
    expect(b.look('p').admitted).toBe(false)
    await b.release('p', unused)
    const dies = await b.admit('p', ATTEMPT_MS)
    expect(dies.admitted).toBe(true)
    const seen = b.look('p')
    if (seen.admitted) throw new Error('two probes')
    await clock.advance(seen.retryAt - clock.now())
    expect(await go(b, 'ok')).toBe(true)
    expect(b.get('p')!.state).toBe('closed')
  })
  test('a probe that fails opens it for another recovery time', async () => {
    const { clock, nodes } = await opened(2)
    await go(nodes[1]!, 'fail')
    await clock.advance(1000)
    expect(nodes[0]!.get('p')).toMatchObject({ state: 'open', retry_at: new Date(clock.now() + 59_000).toISOString() })
  })
  test('the store is down: no probe begins, and the breaker is not stuck when it is back', async () => {
    const { clock, control, nodes } = await opened(1)
    control.failing = 'unavailable'
    expect(await nodes[0]!.admit('p', ATTEMPT_MS)).toEqual({ admitted: false, retryAt: clock.now() + 1000 })
    control.failing = 'no'
    expect(await go(nodes[0]!, 'ok')).toBe(true)
  })
  test('PITFALLS 61: the reply to the slot is lost: nobody probes in it, it runs out', async () => {
    const { clock, control, nodes } = await opened(1)
    control.failing = 'reply-lost'
    expect((await nodes[0]!.admit('p', ATTEMPT_MS)).admitted).toBe(false)
    control.failing = 'no'
    await clock.advance(1000)
    expect(nodes[0]!.look('p').admitted).toBe(false)
    await clock.advance(10_000)
    expect(await go(nodes[0]!, 'ok')).toBe(true)
  })
})

test('the store is down when it opens: it holds on this node, is logged, and recovers', async () => {
  const { clock, control, nodes, env } = cluster()
  control.failing = 'unavailable'
  await go(nodes[0]!, 'fail')
  await go(nodes[0]!, 'fail')
  expect(nodes[0]!.look('p').admitted).toBe(false)
  expect(env.logged).toMatchObject([{ level: 'warn', fields: { provider: 'p' } }])
  control.failing = 'no'
  await clock.advance(60_000)
  expect(await go(nodes[0]!, 'ok')).toBe(true)
  expect(nodes[0]!.get('p')!.state).toBe('closed')
})

test('a provider without settings is always admitted and has no breaker to show', async () => {
  const { nodes } = cluster(1, { table: new Map() })
  for (let i = 0; i < 10; i++) expect(await go(nodes[0]!, 'fail')).toBe(true)
  expect(nodes[0]!.list()).toEqual([])
  expect(nodes[0]!.get('p')).toBeUndefined()
})

test('opening and closing are recorded in the write that stores them, once over all nodes; probes are not', async () => {
  const { clock, control, nodes, changes } = cluster(2)
  await Promise.all(nodes.flatMap((b) => [go(b, 'fail'), go(b, 'fail')]))
  await clock.advance(1000)
  const opened = [{ json: 'closed to open' }]
  expect(control.records).toEqual(opened)
  await clock.advance(60_000)
  await go(nodes[1]!, 'fail')
  await clock.advance(61_000)
  expect(control.records).toEqual([...opened, { json: 'half_open to open' }])
  const records = control.records.length
  control.failing = 'unavailable'
  await go(nodes[0]!, 'ok')
  control.failing = 'no'
  expect(control.records).toHaveLength(records)
  await go(nodes[0]!, 'ok')
  expect(control.records.slice(records)).toEqual([{ json: 'half_open to closed' }])
  expect(changes.every((c) => c.provider === 'p' && c.at <= clock.now())).toBe(true)
  // By hand into the state it is in: nothing opens or closes.
  await nodes[0]!.reset('p', { by: 'ann' })
  expect(control.records).toHaveLength(records + 1)
})

test('settings after a reload apply to the state there is', async () => {
  const { nodes } = cluster()
  await go(nodes[0]!, 'fail')
  nodes[0]!.update(new Map([['p', { ...settings, failureThreshold: 3 }]]))
  await go(nodes[0]!, 'fail')
  expect(nodes[0]!.get('p')).toMatchObject({ state: 'closed', failures: 2, failure_threshold: 3 })
  await go(nodes[0]!, 'fail')
  expect(nodes[0]!.get('p')!.state).toBe('open')
  nodes[0]!.close()
})
