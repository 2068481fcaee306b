import { describe } from 'vitest'
import { startPostgres, withoutPostgres } from '../../servers/postgres.ts'
import { prove } from './prove.ts'

describe.skipIf(withoutPostgres())('several gateways', () => {
  prove('PostgreSQL', async (atEnd) => {
    const postgres = await startPostgres()
    atEnd(() => postgres.stop())
    const { port } = new URL(postgres.url)
    return {
      port: Number(port),
      settings: (through) =>
        `[state]\nbackend = "postgres"\nurl = "${postgres.url.replace(`:${port}`, `:${through}`)}"\n`,
    }
  })
})
