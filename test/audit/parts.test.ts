import type { DatabaseSync } from 'node:sqlite'
import fc from 'fast-check'
import { expect, it } from 'vitest'
import { Undo } from '../../src/state/decide/undo.ts'
import { hashOf } from '../../src/state/sqlite/audit-parts.ts'
import { AuditReads } from '../../src/state/sqlite/audit-reads.ts'
import { AuditWriter } from '../../src/state/sqlite/audit-writer.ts'
import { openWriter } from '../../src/state/sqlite/schema.ts'

const PART_ROWS = 3
const scopes = [
  ['', ''],
  ['a', 'b'],
] as const
const textOf = { 0: '0:0:', 1: '1:a1:b' } as const
interface Row {
  readonly id: string
  readonly scope: 0 | 1
  readonly action: string
  readonly outcome: string
  readonly done: number
}

/** In a new file, as one process after another would. */
function audit() {
  const db = openWriter({ path: ':memory:', synchronous: 'normal' })
  let writer = new AuditWriter(db, new Undo(), PART_ROWS)
  return {
    db,
    reads: new AuditReads((sql) => db.prepare(sql)),
    write(rows: readonly Row[], stands: boolean) {
      db.exec('BEGIN')
      for (const r of rows)
        writer.add({
          id: r.id,
          scope: scopes[r.scope],
          actionId: r.action,
          chainId: undefined,
          json: JSON.stringify({ id: r.id, outcome: r.outcome, completed_at: String(r.done) }),
        })
      writer.flush()
      if (stands) return db.exec('COMMIT')
      db.exec('ROLLBACK')
      writer.forget()
      writer.forgetParts()
    },
    purge(scope: 0 | 1, below: string, completedBefore: string, looks: number) {
      db.exec('BEGIN')
      const done = writer.purge(textOf[scope], { below, completedBefore }, looks)
      db.exec('COMMIT')
      return done
    },
    restart: () => {
      writer = new AuditWriter(db, new Undo(), PART_ROWS)
    },
  }
}

/** Each record has its one place in the part of its id, and no part is empty. */
function expectWhole(db: DatabaseSync): void {
  const wrong = db
    .prepare(`SELECT a.id FROM audit a LEFT JOIN audit_action x ON x.seq = a.seq
      WHERE x.part IS NOT (SELECT part FROM audit_part WHERE first <= a.id ORDER BY first DESC LIMIT 1)`)
    .all()
  expect(wrong).toEqual([])
  const n = (sql: string): unknown => db.prepare(sql).get()?.['n']
  expect(n('SELECT count(*) AS n FROM audit_action')).toBe(n('SELECT count(*) AS n FROM audit'))
  expect(n('SELECT count(*) AS n FROM audit_part WHERE part NOT IN (SELECT part FROM audit_action)')).toBe(0)
}

const id = fc.integer({ min: 0, max: 60 }).map((n) => String(n).padStart(2, '0'))
const row = fc.record<Row>({
  id,
  scope: fc.constantFrom(0, 1),
  action: fc.constantFrom('a', 'b', 'c', '\ud800'),
  outcome: fc.constantFrom('executed', 'denied'),
  done: fc.integer({ min: 1, max: 5 }),
})
/** As time brings them, and a little out of order; or anywhere. */
const rows = fc
  .tuple(fc.array(row, { maxLength: 12 }), fc.boolean())
  .map(([some, late]) => (late ? some : some.toSorted((a, b) => (a.id < b.id ? -1 : 1))))
const step = fc.oneof(
  { weight: 6, arbitrary: fc.record({ do: fc.constant('write' as const), rows, stands: fc.boolean() }) },
  {
    weight: 2,
    arbitrary: fc.record({
      do: fc.constant('purge' as const),
      scope: fc.constantFrom(0 as const, 1 as const),
      below: id,
      before: fc.integer({ min: 1, max: 6 }),
      looks: fc.integer({ min: 1, max: 40 }),
    }),
  },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('restart' as const) }) },
)
const question = fc.record({
  scope: fc.constantFrom(0 as const, 1 as const),
  action: fc.constantFrom('a', 'b', 'c', '\ud800', 'none'),
  outcome: fc.option(fc.constantFrom('executed', 'denied'), { nil: undefined }),
  from: fc.option(id, { nil: undefined }),
  below: fc.option(id, { nil: undefined }),
  limit: fc.integer({ min: 1, max: 4 }),
  looks: fc.integer({ min: 1, max: 7 }),
})

it('an action is found in whatever parts its records are: late, twice, after a void commit, a purge and a restart', () => {
  fc.assert(
    fc.property(
      fc.array(step, { maxLength: 12 }),
      fc.array(question, { minLength: 1, maxLength: 6 }),
      (steps, questions) => {
        const it = audit()
        let kept: Row[] = []
        for (const s of steps) {
          if (s.do === 'restart') it.restart()
          else if (s.do === 'write') {
            it.write(s.rows, s.stands)
            if (s.stands)
              for (const r of s.rows) if (!kept.some((k) => k.id === r.id && k.scope === r.scope)) kept.push(r)
          } else {
            const looked = kept
              .filter((r) => r.scope === s.scope && r.id < s.below)
              .toSorted((a, b) => (a.id < b.id ? -1 : 1))
              .slice(0, s.looks)
            const gone = looked.filter((r) => r.done < s.before)
            expect(it.purge(s.scope, s.below, String(s.before), s.looks).gone).toBe(gone.length)
            kept = kept.filter((r) => !gone.includes(r))
          }
          expectWhole(it.db)
        }
        for (const q of questions) {
          const all = kept
            .filter(
              (r) =>
                r.scope === q.scope &&
                r.action === q.action &&
                r.id >= (q.from ?? '') &&
                (q.below === undefined || r.id < q.below),
            )
            .toSorted((a, b) => (a.id < b.id ? 1 : -1))
          const looked = all.slice(0, q.looks)
          const matching = looked.filter((r) => q.outcome === undefined || r.outcome === q.outcome)
          const found = matching.slice(0, q.limit).map((r) => r.id)
          const below =
            matching.length > q.limit ? found.at(-1) : looked.length === q.looks ? looked.at(-1)!.id : undefined
          const page = it.reads.page({
            scope: textOf[q.scope],
            match: { actionId: q.action, ...(q.outcome && { outcome: q.outcome }) },
            ...(q.from !== undefined && { from: q.from }),
            ...(q.below !== undefined && { below: q.below }),
            limit: q.limit,
            looks: q.looks,
          })
          expect({ ids: page.rows.map((r) => r.id), below: page.below }).toEqual({ ids: found, below })
        }
        it.db.close()
      },
    ),
    { numRuns: 300 },
  )
})

it('two actions that share a number, of 32 bits, are told apart', () => {
  // Found by trying: with FNV-1a one pair among some hundred thousand texts.
  const seen = new Map<number, string>()
  let pair: readonly [string, string] | undefined
  for (let i = 0; pair === undefined; i++) {
    const action = `action-${i}`
    const hash = hashOf(textOf[0], action)
    const other = seen.get(hash)
    if (other !== undefined) pair = [other, action]
    seen.set(hash, action)
  }
  const { reads, write } = audit()
  write(
    pair.map((action, i) => ({ id: `0${i}`, scope: 0 as const, action, outcome: 'executed', done: 1 })),
    true,
  )
  const found = (actionId: string) =>
    reads.page({ scope: textOf[0], match: { actionId }, limit: 9, looks: 9 }).rows.map((r) => r.id)
  expect(pair.map(found)).toEqual([['00'], ['01']])
})
