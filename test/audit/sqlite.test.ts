import { describe, expect, it } from 'vitest'
import { auditBackends } from '../../src/audit/index.ts'
import { drainOutbox } from '../../src/audit/outbox.ts'
import { AuditReads } from '../../src/state/sqlite/audit-reads.ts'
import { openWriter } from '../../src/state/sqlite/schema.ts'
import { openSqlite } from '../../src/state/sqlite.ts'
import { auditContract } from '../contract/audit.contract.ts'
import { memoryState } from '../fakes/store.ts'
import { folder } from '../state/folder.ts'

const file = folder()

auditContract('sqlite in memory', async (env) => {
  const { state, audit } = await memoryState(env)
  return { state, audit, close: () => state.close() }
})
auditContract('sqlite in a worker', async (env) => {
  const { state, audit } = await openSqlite({ path: file('one.db'), ...env })
  return { state, audit: auditBackends.sqlite(audit), close: () => state.close() }
})
auditContract('sqlite in a file of its own', async (env) => {
  const here = await openSqlite({
    path: file('state.db'),
    inThread: true,
    auditElsewhere: true,
    synchronous: 'normal',
    ...env,
  })
  const there = await openSqlite({ path: file('audit.db'), inThread: true, synchronous: 'normal', ...env })
  return {
    state: here.state,
    audit: auditBackends.sqlite(there.audit),
    written: async () => void (await drainOutbox(here.state, there.audit, 'test', env.log)),
    close: async () => {
      await here.state.close()
      await there.state.close()
    },
  }
})

describe('the three indexes', () => {
  it('an action and a chain are sought, a scope is walked by time; nothing is sorted but what one part has of an action', () => {
    const db = openWriter({ path: ':memory:', synchronous: 'normal' })
    const asked: string[] = []
    const reads = new AuditReads((sql) => {
      asked.push(sql)
      return db.prepare(sql)
    })
    const page = { scope: '0:0:', limit: 10, looks: 100, from: 'a', below: 'b' }
    const plan = (match: Parameters<AuditReads['page']>[0]['match']): string => {
      asked.length = 0
      reads.page({ ...page, match })
      return asked
        .flatMap((sql) =>
          db
            .prepare(`EXPLAIN QUERY PLAN ${sql}`)
            .all()
            .map((r) => r['detail']),
        )
        .join('\n')
    }
    const byAction = plan({ actionId: 'x', outcome: 'y' })
    expect(byAction).toContain('SEARCH p USING PRIMARY KEY (first>? AND first<?)')
    expect(byAction).toContain('SEARCH x USING PRIMARY KEY (part=? AND hash=?)')
    // What one part has of one action.
    expect(byAction.match(/TEMP B-TREE.*/g)).toEqual(Array(2).fill('TEMP B-TREE FOR LAST TERM OF ORDER BY'))
    expect(byAction).not.toMatch(/SCAN (p|x|a|audit)/)
    expect(plan({ chainId: 'x' })).toContain('audit_chain (chain_id=? AND scope=?')
    expect(plan({ outcome: 'y' })).toContain('sqlite_autoindex_audit_1 (scope=? AND id>? AND id<?)')
    for (const match of [{ chainId: 'x' }, { rule: 'r', provider: 'p' }])
      expect(plan(match)).not.toMatch(/TEMP B-TREE|SCAN audit/)
  })
})
