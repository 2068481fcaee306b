import { describe, expect, it } from 'vitest'
import { seededRandom } from '../../src/core/ids.ts'
import type { Op } from '../../src/core/state.ts'
import { Engine, type Write } from '../../src/state/sqlite/engine.ts'
import { openWriter } from '../../src/state/sqlite/schema.ts'

type Put = Extract<Op, { op: 'put' }>
const S = '1:a1:b'
const commit = (...ops: Op[]): Write => ['commit', S, ops, false]
const put = (id: string, version: string, more: Partial<Put> = {}): Op => ({
  op: 'put',
  kind: 'k',
  id,
  value: `value of ${version}`,
  version,
  ...more,
})
/** Changes nothing, and has the row read. */
const look = (id: string): Op => ({ op: 'delete', kind: 'k', id, ifVersion: 'never', orSkip: true })
const refuses: Op = { op: 'delete', kind: 'k', id: 'none', ifVersion: 'never' }

function open() {
  const db = openWriter({ path: ':memory:', synchronous: 'normal' })
  const dump = () => [
    db.prepare('SELECT * FROM entry ORDER BY kind, scope, id').all(),
    db.prepare('SELECT * FROM tag ORDER BY kind, scope, tag, id').all(),
  ]
  return { dump, engine: new Engine(db, 0) }
}
const rows = (dump: readonly unknown[]) => (dump[0] as { id: string }[]).map((r) => ({ ...r }))

describe('an entry put whatever is there, which is written without a look', () => {
  it('keeps the attempts of what it replaces, and none of its tags', () => {
    const { engine, dump } = open()
    engine.run(0, [commit(put('a', 'v1', { tags: ['t'], attempts: 3, dueAt: 5 }))])
    engine.run(1, [commit(put('a', 'v2'))])
    const [row] = rows(dump())
    expect(row).toMatchObject({ version: 'v2', attempts: 3, tags: null, due_at: null })
    expect(dump()[1]).toEqual([])
  })
  it('knows nothing of what has expired there', () => {
    const { engine, dump } = open()
    engine.run(0, [commit(put('a', 'v1', { attempts: 3, expiresAt: 5 }))])
    engine.run(6, [commit(put('a', 'v2'))])
    expect(rows(dump())).toMatchObject([{ version: 'v2', attempts: 0, expires_at: null }])
  })
  it('is seen by what comes behind it in its batch, and is gone with a commit that is refused', () => {
    const { engine, dump } = open()
    engine.run(0, [commit(put('old', 'v1', { tags: ['t'] }))])
    const answers = engine.run(1, [
      commit(put('a', 'v1')),
      commit(put('a', 'v2', { ifVersion: 'v1' })),
      commit(put('b', 'v1'), put('old', 'v2'), refuses),
      commit(put('b', 'v2', { ifVersion: null })),
    ])
    expect(answers.map(([, a]) => (a as { ok: boolean }).ok)).toEqual([true, true, false, true])
    expect(rows(dump())).toMatchObject([
      { id: 'a', version: 'v2' },
      { id: 'b', version: 'v2' },
      { id: 'old', version: 'v1', tags: '["t"]' },
    ])
  })

  it('may make due what stands there: that is asked behind it in its batch', () => {
    const { engine } = open()
    const long = 'x'.repeat(20_000) // too long to be remembered
    engine.run(0, [commit(put('a', 'v1', { value: long, claim: { owner: 'o', until: 1000 } }))])
    engine.run(1, [commit({ op: 'wake', kind: 'k', id: 'a' })])
    expect(engine.run(3, [commit(put('a', 'v2')), ['nextDue', 'k']])[1]).toEqual([0, 3])
  })
  it('comes to the same as one whose row was read first, whatever was there', () => {
    for (let seed = 1; seed <= 60; seed++) {
      const random = seededRandom(seed)
      const pick = <T>(of: readonly T[]): T => of[Math.floor(random.float() * of.length)]!
      const [blind, seeing] = [open(), open()]
      let version = 0
      const anOp = (now: number): Op => {
        const id = pick(['a', 'b', 'c'])
        const v = `v${++version}`
        return pick<() => Op>([
          () => put(id, v),
          () => put(id, v),
          () => put(id, v, { expiresAt: now + pick([1, 3, 50]) }),
          () => put(id, v, { tags: [pick(['t', 'u'])] }),
          () => put(id, v, { dueAt: now + 2, attempts: pick([0, 2]) }),
          () => put(id, v, { claim: { owner: 'o', until: now + 4 } }),
          () => put(id, v, { ifVersion: null }),
          () => ({ op: 'delete', kind: 'k', id }),
          () => ({ op: 'wake', kind: 'k', id }),
          () => refuses,
        ])()
      }
      for (let now = 1; now < 25; now++) {
        const commits = Array.from({ length: 1 + Math.floor(random.float() * 4) }, () =>
          Array.from({ length: 1 + Math.floor(random.float() * 3) }, () => anOp(now)),
        )
        const ok = (answers: ReturnType<Engine['run']>) => answers.map(([, a]) => (a as { ok: boolean }).ok)
        const seen = ok(
          seeing.engine.run(
            now,
            commits.map((ops) => commit(...ops.flatMap((o) => ['id' in o ? look(o.id) : [], o].flat()))),
          ),
        )
        expect(
          ok(
            blind.engine.run(
              now,
              commits.map((ops) => commit(...ops)),
            ),
          ),
          `seed ${seed}`,
        ).toEqual(seen)
        expect(blind.dump(), `seed ${seed}, at ${now}`).toEqual(seeing.dump())
        const [mine, theirs] = [blind, seeing].map((x) => x.engine.run(now, [['nextDue', 'k']]))
        expect(mine, `seed ${seed}, at ${now}`).toEqual(theirs)
      }
    }
  })
})
