import { LARGEST_ENTRY, LARGEST_RECORD, MOST_ITEMS } from './dynamodb/largest.ts'
import type { OpenStore } from './opened.ts'
import { recordedAhead } from './sqlite/ahead.ts'
import { openSqlite } from './sqlite.ts'

/** State backends by their name in `[state].backend`. */
export const stateBackends: { readonly [name: string]: OpenStore } = {
  async sqlite(settings, { clock, random, log, auditElsewhere, handOver }) {
    const { path, synchronous } = settings
    const { state, audit } = await openSqlite({ path, synchronous, clock, random, auditElsewhere, handOver })
    const ahead = recordedAhead(path, clock.now())
    if (ahead !== undefined)
      log.warn(
        { ahead_ms: ahead },
        'the store has records of a time that is still to come: the clock was set back, or was wrong before; until then throttles, groups and recurring actions may wait',
      )
    return { state, audit, clock, clockOffsetMs: () => 0, trouble: () => undefined, where: path }
  },
  // Loaded where they are used: a gateway on SQLite has no memory for their clients.
  postgres: async (settings, tools) => (await import('./postgres.ts')).openPostgres(settings, tools),
  dynamodb: async (settings, tools) => (await import('./dynamodb.ts')).openDynamo(settings, tools),
  redis: async (settings, tools) => (await import('./redis.ts')).openRedis(settings, tools),
}

/** Of those that keep no larger entry or record than this. Bytes. */
export const largestEntry: { readonly [name: string]: number } = { dynamodb: LARGEST_ENTRY }
/** The same of a record's JSON. */
export const largestRecord: { readonly [name: string]: number } = { dynamodb: LARGEST_RECORD }
/** Of those that write no more in one commit: entries, and their places in lists by tag. */
export const mostEntries: { readonly [name: string]: number } = { dynamodb: MOST_ITEMS }
