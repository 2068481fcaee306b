import { beforeEach, describe, expect, test } from 'vitest'
import type { Scope } from '../../src/core/action.ts'
import { auditRow } from '../../src/core/audit.ts'
import { Problem } from '../../src/core/errors.ts'
import { kinds } from '../../src/core/hold.ts'
import { uuidv7Of } from '../../src/core/ids.ts'
import { type DeadLetter, putDeadLetter } from '../../src/delivery/dead-letters.ts'
import { purgeDeadLetters } from '../../src/retention/dead-letters.ts'
import { openRetentionPolicies, type RetentionPolicies } from '../../src/retention/policies.ts'
import { REAP_ROWS, type Reaper, type ReaperDeps, reaper } from '../../src/retention/reaper.ts'
import { type TestEnv, testEnv } from '../fakes/env.ts'
import { type MemoryState, memoryState } from '../fakes/store.ts'

const HQ: Scope = ['iot', 'hq']
const LAB: Scope = ['iot', 'lab']
const BY = { caller: 'test' }
const DAY = 86_400_000
const never = new AbortController().signal

let env: TestEnv
let store: MemoryState
let policies: RetentionPolicies
let reap: Reaper
let auditTtl: number | undefined
let executions: { scope: Scope; before: number; limit: number }[]

beforeEach(async () => {
  env = testEnv()
  store = await memoryState(env)
  auditTtl = undefined
  executions = []
  policies = await openRetentionPolicies({ state: store.state, now: env.clock.now, changed: () => undefined })
  reap = open(store.audit)
})
const open = (audit: ReaperDeps['audit']): Reaper =>
  reaper({
    policies,
    audit,
    state: store.state,
    now: env.clock.now,
    auditTtlSeconds: () => auditTtl,
    executionTtlSeconds: () => 7 * 86_400,
    executions: async (scope, before, limit) => {
      executions.push({ scope, before, limit })
      return 0
    },
    deadLetters: purgeDeadLetters(store.state),
  })

let serial = 0
async function record(scope: Scope, count = 1): Promise<void> {
  const at = env.clock.now()
  const time = new Date(at).toISOString()
  const ops = Array.from({ length: count }, () => ({
    op: 'record' as const,
    row: auditRow({
      id: uuidv7Of(at, String(++serial)),
      kind: 'dispatch',
      namespace: scope[0],
      tenant: scope[1],
      action_id: `a${serial}`,
      run_id: `r${serial}`,
      action_type: 'x',
      outcome: 'executed',
      received_at: time,
      completed_at: time,
      duration_ms: 0,
    }),
  }))
  await store.state.commit(scope, ops)
}
const execution = (scope: Scope) =>
  store.state.commit(scope, [
    { op: 'put', kind: kinds.run, id: `x${++serial}`, value: '{}', version: `x${serial}`, expiresAt: 1e15 },
  ])
const records = async (scope: Scope): Promise<number> =>
  (await store.audit.query(scope, {}, { limit: 1000 })).records.length
const all = async (): Promise<number> => {
  let gone = 0
  for (let i = 0; i < 5; i++) gone += await reap.reap(never)
  return gone
}

describe('the reaper', () => {
  test('goes by the policy of each scope, and by [audit].ttl_seconds where there is none', async () => {
    await record(HQ)
    await record(LAB)
    await policies.put(HQ, { audit_ttl_seconds: 86_400 }, BY)
    await env.clock.advance(DAY + 1000)
    await record(HQ)
    await reap.reap(never)
    expect([await records(HQ), await records(LAB)]).toEqual([1, 1])
    auditTtl = 3_600
    await reap.reap(never)
    expect([await records(HQ), await records(LAB)]).toEqual([1, 0])
    // The policy's word counts, be it longer than the general one or shorter.
    await record(LAB)
    await policies.put(LAB, { audit_ttl_seconds: 60 }, BY)
    await env.clock.advance(7_200_000)
    auditTtl = 5_000
    await reap.reap(never)
    expect(await records(HQ)).toBe(1)
    auditTtl = 30 * 86_400
    await reap.reap(never)
    expect([await records(HQ), await records(LAB)]).toEqual([1, 0])
  })
  test('decides by the policy in force when it runs: a longer one saves what is there, a disabled one is none', async () => {
    await record(HQ)
    await policies.put(HQ, { audit_ttl_seconds: 3_600 }, BY)
    await policies.put(HQ, { audit_ttl_seconds: 30 * 86_400 }, BY)
    await env.clock.advance(DAY)
    expect(await all()).toBe(0)
    await policies.put(HQ, { audit_ttl_seconds: 3_600, enabled: false }, BY)
    expect(await all()).toBe(0)
    await policies.put(HQ, { audit_ttl_seconds: 3_600 }, BY)
    expect(await all()).toBe(1)
  })
  test('takes more than one delete can hold, and stops when told to', async () => {
    await record(HQ, REAP_ROWS + 200)
    await policies.put(HQ, { audit_ttl_seconds: 60 }, BY)
    await env.clock.advance(DAY)
    const stop = new AbortController()
    stop.abort()
    expect(await reap.reap(stop.signal)).toBe(0)
    expect(await reap.reap(never)).toBe(REAP_ROWS + 200)
  })
  test('state_ttl_seconds removes dead letters and finished executions of the scope, also where nothing was audited', async () => {
    const letter = (scope: Scope): DeadLetter => ({
      id: uuidv7Of(env.clock.now(), String(++serial)),
      created_at: new Date(env.clock.now()).toISOString(),
      action: {
        id: 'a',
        namespace: scope[0],
        tenant: scope[1],
        action_type: 'x',
        payload: {},
        metadata: {},
        created_at: '',
      },
      provider: 'p',
      run_id: 'r',
      token: 't',
      request: {},
      code: 'c',
      message: 'm',
      unknown: false,
      attempts: 1,
      told_caller: false,
      origin: { kind: 'dispatch' },
      redrives: 0,
    })
    const left = async (scope: Scope) => (await store.state.list('dead_letter', scope, { limit: 10 })).entries.length
    for (const scope of [HQ, LAB]) await store.state.commit(scope, putDeadLetter(letter(scope)))
    await env.clock.advance(DAY)
    await store.state.commit(HQ, putDeadLetter(letter(HQ)))
    await policies.put(HQ, { state_ttl_seconds: 3_600 }, BY)
    expect(await reap.reap(never)).toBe(1)
    expect([await left(HQ), await left(LAB)]).toEqual([1, 1])
    expect(executions).toEqual([{ scope: HQ, before: env.clock.now() - 3_600_000, limit: REAP_ROWS }])
    // No more than it is asked for, however short the pages are.
    for (let i = 0; i < 4; i++) await store.state.commit(LAB, putDeadLetter(letter(LAB)))
    const { list } = store.state
    const paged = {
      ...store.state,
      list: (...[kind, scope, page]: Parameters<typeof list>) => list(kind, scope, { ...page, limit: 1 }),
    }
    expect(await purgeDeadLetters(paged)(LAB, env.clock.now() + 1, 3)).toBe(3)
    expect([await left(HQ), await left(LAB)]).toEqual([1, 2])
    expect(await purgeDeadLetters(paged)(LAB, env.clock.now() - DAY, 3)).toBe(0)
  })
  test('cleanup removes finished executions by the configured time, but leaves scopes with a policy to it', async () => {
    await execution(HQ)
    await execution(LAB)
    await policies.put(HQ, { state_ttl_seconds: 30 * 86_400 }, BY)
    await reap.cleanUp(never)
    expect(executions).toEqual([{ scope: LAB, before: env.clock.now() - 7 * DAY, limit: REAP_ROWS }])
  })
  test('cleanup goes by the executions there are, whatever the audit has forgotten', async () => {
    await record(HQ)
    await execution(LAB)
    for (let i = 0; i < 130; i++) await execution(['many', `t${i}`])
    const cleaned = async () => {
      executions = []
      await reap.cleanUp(never)
      return executions.map((e) => e.scope.join('/'))
    }
    const first = await cleaned()
    expect(first).toHaveLength(131)
    expect(new Set(first)).toEqual(new Set(['iot/lab', ...Array.from({ length: 130 }, (_, i) => `many/t${i}`)]))
    expect(await cleaned()).toEqual(first)
  })
  test('a scope that cannot be cleaned holds up none of the others', async () => {
    const bad: Scope = ['a', 'bad']
    for (const scope of [bad, HQ, LAB]) await record(scope)
    auditTtl = 60
    await env.clock.advance(DAY)
    const { purge } = store.audit
    const audit = {
      ...store.audit,
      purge: (...call: Parameters<typeof purge>) =>
        call[0][1] === 'bad' ? Promise.reject(new Error('it cannot be read')) : purge(...call),
    }
    await expect(open(audit).reap(never)).rejects.toThrow('1 of 3 scopes could not be cleaned')
    expect([await records(bad), await records(HQ), await records(LAB)]).toEqual([1, 0, 0])
  })
  test('a busy scope is gone on with on every page, and does not wait for a round of all scopes', async () => {
    for (let i = 0; i < 230; i++) await record(['many', `t${i}`])
    auditTtl = 60
    await env.clock.advance(DAY)
    let asked: string[] = []
    let left = 70 // twenty times on each of the three pages, and ten more
    const { reap: go } = open({
      ...store.audit,
      purge: async ([, tenant], _before, limit) => {
        asked.push(tenant)
        return tenant === 't1' && left-- > 0 ? limit : 0
      },
    })
    expect(await go(never)).toBe(30_000)
    // Those that were through are not gone through again.
    expect(asked.filter((tenant) => tenant !== 't1')).toHaveLength(229)
    asked = []
    expect(await go(never)).toBe(5_000)
    expect(asked.slice(0, 11)).toEqual(Array.from({ length: 11 }, () => 't1'))
  })
  test('a round is of all scopes: of many with little in each nothing is left for a later one', async () => {
    for (let i = 0; i < 230; i++) await record(['many', `t${i}`])
    auditTtl = 60
    await env.clock.advance(DAY)
    expect([await reap.reap(never), await reap.reap(never)]).toEqual([230, 0])
  })
})

describe('policies', () => {
  const refused = async (work: Promise<unknown>): Promise<Problem> => {
    const error = await work.then(
      () => undefined,
      (e: unknown) => e,
    )
    if (!(error instanceof Problem)) throw new Error('it was not refused')
    return error
  }
  test('one per scope: PUT creates and replaces, POST refuses a second, DELETE ends it', async () => {
    const first = await policies.create(HQ, { audit_ttl_seconds: 604_800, event_ttl_seconds: 172_800 }, BY)
    expect(first).toMatchObject({
      created: true,
      view: { namespace: 'iot', tenant: 'hq', audit_ttl_seconds: 604_800, event_ttl_seconds: 172_800 },
    })
    expect(await refused(policies.create(HQ, {}, BY))).toMatchObject({ status: 409 })
    expect(await refused(policies.put(HQ, {}, { ...BY, ifMatch: 'old' }))).toMatchObject({ status: 412 })
    const second = await policies.put(
      ['x', 'y'],
      { namespace: 'iot', tenant: 'hq', audit_ttl_seconds: 60 },
      { ...BY, ifMatch: first.etag },
    )
    expect(second).toMatchObject({ created: false, view: { id: first.view['id'], audit_ttl_seconds: 60 } })
    expect(policies.get(HQ)?.view['event_ttl_seconds']).toBeUndefined()
    expect(policies.list(LAB)).toEqual([])
    expect(policies.list().length).toBe(1)
    expect(await policies.delete(HQ, { ...BY, ifMatch: second.etag })).toBe(true)
    expect(await policies.delete(HQ, BY)).toBe(false)
  })
  test('PITFALLS 16: scopes with separators in them have a policy each', async () => {
    const scopes = [
      ['a', 'b:c'],
      ['a:b', 'c'],
      ['a', 'b/c'],
      ['a/b', 'c'],
      ['%', '_'],
    ] as const
    for (const [i, scope] of scopes.entries()) {
      expect(policies.get(scope)).toBeUndefined()
      await policies.create(scope, { audit_ttl_seconds: 60 + i }, BY)
    }
    expect(scopes.map((scope) => policies.inForce(scope)?.auditTtlSeconds)).toEqual([60, 61, 62, 63, 64])
    expect(await policies.delete(scopes[0], BY)).toBe(true)
    expect(policies.list()).toHaveLength(4)
  })
  test('compliance_hold is refused by name', async () => {
    const { errors, code } = await refused(policies.put(HQ, { compliance_hold: true, audit_ttl_seconds: -1 }, BY))
    expect(code).toBe('invalid_retention')
    expect(errors).toEqual([
      { pointer: '/audit_ttl_seconds', message: 'must be at least 1' },
      { pointer: '/compliance_hold', message: 'is not supported yet' },
    ])
  })
})
