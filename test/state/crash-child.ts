// Commits as fast as it can and prints each acknowledged id, until it is killed: node crash-child.ts <file> <prefix> [<characters of a value>]
import { writeSync } from 'node:fs'
import { type AuditRecord, auditRow } from '../../src/core/audit.ts'
import { isoTime, systemClock } from '../../src/core/clock.ts'
import { systemRandom, uuidv7Source } from '../../src/core/ids.ts'
import { openSqlite } from '../../src/state/sqlite.ts'

const [path = '', prefix = '', characters = '0'] = process.argv.slice(2)
const clock = systemClock()
const newId = uuidv7Source(clock.now, systemRandom())
const { state } = await openSqlite({ path, clock, random: systemRandom() })
const scope = ['crash', 'test'] as const

async function committer(me: number): Promise<void> {
  for (let i = 0; ; i++) {
    const id = `${prefix}-${me}-${i}`
    const at = isoTime(clock.now())
    const record: AuditRecord = {
      id: newId(),
      kind: 'dispatch',
      namespace: scope[0],
      tenant: scope[1],
      action_id: id,
      run_id: id,
      action_type: 't',
      outcome: 'executed',
      received_at: at,
      completed_at: at,
      duration_ms: 0,
    }
    const done = await state.commit(scope, [
      {
        op: 'put',
        kind: 'work',
        id,
        value: id.padEnd(Number(characters)),
        version: id,
        ifVersion: null,
        tags: ['all'],
        dueAt: clock.now(),
      },
      { op: 'count', id: 'n', by: 1, expiresAt: 1e15 },
      { op: 'admit', id: 'w', max: 1e9, windowMs: 1e9 },
      {
        op: 'append',
        id: `buffer ${me}`,
        itemId: id,
        item: id,
        value: '{}',
        maxItems: 10,
        maxBytes: 1e6,
        waitMs: 1e6,
        intervalMs: 1e6,
        into: { kind: 'flush', idPrefix: `flush ${me} ` },
      },
      { op: 'record', row: auditRow(record) },
    ])
    if (done.ok) say(`${id}\n`)
  }
}
await Promise.all(Array.from({ length: 16 }, (_, i) => committer(i)))

/** Whoever reads may be slow, and the pipe full. */
function say(line: string): void {
  for (;;)
    try {
      writeSync(1, line)
      return
    } catch (e) {
      if (!(e instanceof Error && 'code' in e && e.code === 'EAGAIN')) throw e
    }
}
