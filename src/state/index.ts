import { openSqlite } from './sqlite.ts'

/** State backends by their name in `[state].backend`. */
export const stateBackends = { sqlite: openSqlite } as const
