import { describe } from 'vitest'
import { startPgBouncer, withoutPgBouncer } from '../../servers/pgbouncer.ts'
import { startPostgres, withoutPostgres } from '../../servers/postgres.ts'
import { prove, seed } from './prove.ts'
import type { OpenShared } from './store.ts'
import { told } from './told.ts'

const open: OpenShared = async (atEnd) => {
  const postgres = await startPostgres()
  atEnd(() => postgres.stop())
  const { port } = new URL(postgres.url)
  return {
    port: Number(port),
    settings: (through) =>
      `[state]\nbackend = "postgres"\nurl = "${postgres.url.replace(`:${port}`, `:${through}`)}"\n`,
    trail: 'commits',
  }
}

/** What fails then is the way to PgBouncer; it has few connections to the server for all of them. */
const openPooled: OpenShared = async (atEnd) => {
  const postgres = await startPostgres()
  atEnd(() => postgres.stop())
  const pooler = await startPgBouncer(postgres.url, ['default_pool_size = 6', 'server_round_robin = 1'])
  atEnd(() => pooler.stop())
  const { port } = new URL(pooler.url)
  return {
    port: Number(port),
    settings: (through) =>
      `[state]\nbackend = "postgres"\nurl = "${pooler.url.replace(`:${port}`, `:${through}`)}"\nlisten_url = "${postgres.url}"\n`,
    trail: 'commits',
  }
}

describe.skipIf(withoutPostgres() || withoutPgBouncer())('several gateways', () => {
  told('PostgreSQL', open)
  if (seed % 2 === 0) prove('PostgreSQL', open)
  else prove('PostgreSQL behind PgBouncer', openPooled)
})
