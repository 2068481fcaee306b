import type { OpenStore } from './opened.ts'
import { openPostgres } from './postgres.ts'
import { openSqlite } from './sqlite.ts'

/** State backends by their name in `[state].backend`. */
export const stateBackends: { readonly [name: string]: OpenStore } = {
  async sqlite(settings, { clock, random, auditElsewhere }) {
    const { path, synchronous } = settings
    const { state, audit } = await openSqlite({ path, synchronous, clock, random, auditElsewhere })
    return { state, audit, clock, clockOffsetMs: () => 0, trouble: () => undefined, where: path }
  },
  postgres: openPostgres,
}
