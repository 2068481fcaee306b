import { describe, expect, it } from 'vitest'
import { handed } from '../../src/audit/handed.ts'
import { drainOutbox } from '../../src/audit/outbox.ts'
import type { Scope } from '../../src/core/action.ts'
import type { AuditRow } from '../../src/core/audit.ts'
import { StateTooLarge, StateUnavailable, StateUnknown } from '../../src/core/errors.ts'
import { kinds } from '../../src/core/hold.ts'
import { openSqlite } from '../../src/state/sqlite.ts'
import { plainRow } from '../fakes/audit-row.ts'
import { testEnv } from '../fakes/env.ts'
import { folder } from '../state/folder.ts'

const inFolder = folder()
const scope = ['a', 'b'] as const
const large = (id: string): string =>
  JSON.stringify({ ...JSON.parse(plainRow(id, scope).json), payload: { text: 'x'.repeat(100_000) } })

/** A store whose records are handed over, and an audit that takes them unless told otherwise. */
async function house(name: string) {
  const env = testEnv()
  const own = handed()
  const { state } = await openSqlite({
    path: inFolder(`${name}.db`),
    inThread: true,
    auditElsewhere: true,
    handOver: own,
    synchronous: 'normal',
    ...env,
  })
  const has: string[] = []
  let trouble: ((rows: readonly AuditRow[]) => unknown) | undefined
  const audit = {
    append: async (rows: readonly AuditRow[]) => {
      await trouble?.(rows)
      has.push(...rows.map((r) => r.id))
    },
  }
  return {
    env,
    state,
    own,
    has,
    fails(how: typeof trouble) {
      trouble = how
    },
    record: (id: string, at: Scope = scope, json?: string) =>
      state.commit(at, [{ op: 'record', row: { ...plainRow(id, at), ...(json && { json }) } }]),
    carry: (enough?: AbortSignal, last?: boolean) =>
      own.carry({ state, audit, now: env.clock.now, log: env.log }, enough, last),
    /** As another gateway, or this one when it was started again. */
    drain: () => drainOutbox(state, audit, 'another', env.log),
    waiting: async (at: Scope = scope) => (await state.list(kinds.auditOutbox, at, { limit: 99 })).entries,
  }
}

describe('records that this process has just written', () => {
  it('are carried from memory, without a claim, and leave the outbox', async () => {
    const { record, carry, has, waiting, state, drain } = await house('carried')
    await record('1')
    await record('2')
    await record('3', ['c', 'd'])
    await (await state.control('switches')).put('x', '1', { record: plainRow('4', ['', '']) })
    const entries = await waiting()
    expect(entries.map((e) => [e.key.id, e.attempts, e.claim])).toEqual([
      ['1', 0, undefined],
      ['2', 0, undefined],
    ])
    expect(await drain()).toBe(0)
    expect(await carry()).toBe(4)
    expect(has).toEqual(['1', '2', '3', '4'])
    expect([...(await waiting()), ...(await waiting(['c', 'd'])), ...(await waiting(['', '']))]).toEqual([])
    expect(await carry()).toBe(0)
    await state.close()
  })

  it('are none where the commit was refused, or was dry, or had written them before', async () => {
    const { record, carry, state } = await house('refused')
    const op = { op: 'record', row: plainRow('1', scope) } as const
    expect((await state.commit(scope, [op, { op: 'count', id: 'c', by: 2, limit: 1, expiresAt: 9e15 }])).ok).toBe(false)
    await state.commit(scope, [op], { dry: true })
    expect(await carry()).toBe(0)
    await record('1')
    await record('1')
    expect(await carry()).toBe(1)
    await state.close()
  })

  it('PITFALLS 54: are found in the outbox by who looks there, ten seconds later, when nobody carried them', async () => {
    const { record, env, drain, has, waiting, state } = await house('crash')
    await record('1')
    await env.clock.advance(9999)
    expect(await drain()).toBe(0)
    await env.clock.advance(1)
    expect(await drain()).toBe(1)
    expect([has, await waiting()]).toEqual([['1'], []])
    await state.close()
  })

  it.each([new StateUnavailable('down'), new StateUnknown('no answer')])(
    'wait here and in the outbox while the audit is away, which the caller hears of: whoever comes first has them (%s)',
    async (error) => {
      const { record, fails, carry, env, drain, has, waiting, state } = await house(`away ${error.name}`)
      await record('1')
      fails(() => {
        throw error
      })
      await expect(carry()).rejects.toBe(error)
      await record('2')
      await expect(carry()).rejects.toBe(error)
      fails(undefined)
      expect(await carry()).toBe(2)
      expect([has, await waiting()]).toEqual([['1', '2'], []])
      await record('3')
      fails(() => {
        throw error
      })
      await expect(carry()).rejects.toBe(error)
      fails(undefined)
      await env.clock.advance(10_000)
      expect(await drain()).toBe(1)
      expect(await carry()).toBe(0)
      expect(has).toEqual(['1', '2', '3'])
      await state.close()
    },
  )

  it('PITFALLS 28: one that the audit refuses keeps no other back, and is seen to by who finds it in the outbox', async () => {
    const { record, fails, carry, env, drain, has, waiting, state } = await house('no')
    await record('good')
    await record('bad')
    fails((rows) => {
      if (rows.some((r) => r.id === 'bad')) throw new StateTooLarge('too large for it')
    })
    expect(await carry()).toBe(1)
    expect([has, (await waiting()).map((e) => [e.key.id, e.attempts])]).toEqual([['good'], [['bad', 0]]])
    expect(env.logged.map((l) => [l.level, l.fields])).toEqual([['warn', { entry: 'bad', why: 'too large for it' }]])
    expect(await carry()).toBe(0)
    await env.clock.advance(10_000)
    expect(await drain()).toBe(0)
    expect((await waiting()).map((e) => [e.key.id, e.attempts])).toEqual([['bad', 1]])
    await state.close()
  })

  it('are left to the outbox when they are begun late: somebody else may be given them meanwhile', async () => {
    const { record, carry, env, drain, has, state } = await house('late')
    await record('old')
    await env.clock.advance(5001)
    await record('new')
    expect(await carry()).toBe(1)
    expect(has).toEqual(['new'])
    expect(await carry()).toBe(0)
    await env.clock.advance(4999)
    expect(await drain()).toBe(1)
    await state.close()
  })

  it('are carried late all the same when there is no other time, but not what may be somebody else’s', async () => {
    const { record, carry, env, has, waiting, state } = await house('last')
    await record('gone')
    await env.clock.advance(3000)
    await record('late')
    await env.clock.advance(6999)
    expect(await carry()).toBe(0)
    await env.clock.advance(1)
    expect(await carry()).toBe(0)
    expect(await carry(undefined, true)).toBe(1)
    expect([has, (await waiting()).map((e) => e.key.id)]).toEqual([['late'], ['gone']])
    await state.close()
  })

  it('are ended by who has claimed them, where the way to the audit took too long', async () => {
    const { record, fails, carry, env, has, waiting, state } = await house('claimed')
    await record('1')
    fails(async () => {
      await env.clock.advance(10_000)
      await state.claim(kinds.auditOutbox, { owner: 'another', leaseMs: 30_000, limit: 9 })
    })
    expect(await carry()).toBe(1)
    expect(has).toEqual(['1'])
    const [entry] = await waiting()
    expect(entry?.claim?.owner).toBe('another')
    await state.close()
  })

  it('are carried again where the store does not say that they have left the outbox: once they are due', async () => {
    const { record, own, env, has, drain, state } = await house('lost')
    await record('1')
    const lost = new StateUnknown('no answer')
    const audit = { append: async (rows: readonly AuditRow[]) => void has.push(...rows.map((r) => r.id)) }
    const away = { commit: () => Promise.reject(lost) }
    await expect(own.carry({ state: away, audit, now: env.clock.now, log: env.log })).rejects.toBe(lost)
    await env.clock.advance(10_000)
    expect(await drain()).toBe(1)
    expect(has).toEqual(['1', '1'])
    await state.close()
  })

  it('are kept in memory up to 16 million characters: more wait in the outbox alone, unless what is late makes room', async () => {
    const { record, carry, env, drain, state } = await house('memory')
    for (let i = 0; i < 165; i++) await record(`r${i}`, scope, large(`r${i}`))
    expect(await carry()).toBe(159)
    await env.clock.advance(10_000)
    expect(await drain()).toBe(6)
    for (let i = 0; i < 165; i++) await record(`s${i}`, scope, large(`s${i}`))
    await env.clock.advance(5001)
    for (let i = 0; i < 20; i++) await record(`t${i}`, scope, large(`t${i}`))
    expect(await carry()).toBe(20)
    await state.close()
  })

  it('are told to be many at 400,000 characters, and carried no further than is enough', async () => {
    const { record, carry, own, has, fails, state } = await house('many')
    let rung = 0
    own.whenMany(() => rung++)
    for (const id of ['1', '2', '3']) await record(id, scope, large(id))
    expect(rung).toBe(0)
    await record('4', scope, large('4'))
    expect(rung).toBe(1)
    for (let i = 5; i < 45; i++) await record(String(i), scope, large(String(i)))
    const enough = new AbortController()
    fails(() => enough.abort())
    const first = await carry(enough.signal)
    expect([first < 22, first]).toEqual([true, has.length])
    expect(await carry()).toBe(44 - first)
    expect(new Set(has).size).toBe(44)
    await state.close()
  })
})
