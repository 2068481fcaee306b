import { describe } from 'vitest'
import { startPostgres, withoutPostgres } from '../../servers/postgres.ts'
import { prove } from './prove.ts'
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

describe.skipIf(withoutPostgres())('several gateways', () => {
  told('PostgreSQL', open)
  prove('PostgreSQL', open)
})
