import type { DatabaseSync, StatementSync } from 'node:sqlite'

/** The connection as it is, but `instead` may give another statement for a text than the one it makes. */
export function preparing(
  db: DatabaseSync,
  instead: (sql: string, made: StatementSync) => Pick<StatementSync, 'run'> | Pick<StatementSync, 'get'>,
): DatabaseSync {
  return new Proxy(db, {
    get(target, name) {
      if (name === 'prepare') return (sql: string) => instead(sql, target.prepare(sql))
      const value: unknown = Reflect.get(target, name, target)
      return typeof value === 'function' ? value.bind(target) : value
    },
  })
}

/** As SQLite fails. */
export const failure = (errcode: number): Error => Object.assign(new Error(`failure ${errcode}`), { errcode })
