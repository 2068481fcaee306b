import { existsSync } from 'node:fs'
import pg from 'pg'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { goesWithItsStarter } from './kept.ts'
import { type Postgres, startPostgres, withoutPostgres } from './postgres.ts'

describe.skipIf(withoutPostgres())('a PostgreSQL of its own', () => {
  let server: Postgres
  beforeAll(async () => {
    server = await startPostgres()
  })
  afterAll(() => server.stop())

  async function ask(url: string, sql: string): Promise<readonly unknown[]> {
    const client = new pg.Client({ connectionString: url, connectionTimeoutMillis: 5000 })
    await client.connect()
    try {
      return (await client.query(sql)).rows
    } finally {
      await client.end()
    }
  }

  it('runs statements, and keeps what it has answered', async () => {
    expect(await ask(server.url, 'SELECT 40 + 2 AS n')).toEqual([{ n: 42 }])
    const settings = `SELECT name, setting FROM pg_settings WHERE name IN ('fsync', 'full_page_writes', 'synchronous_commit') ORDER BY name`
    expect(await ask(server.url, settings)).toEqual([
      { name: 'fsync', setting: 'on' },
      { name: 'full_page_writes', setting: 'on' },
      { name: 'synchronous_commit', setting: 'on' },
    ])
  })

  it('lets nobody in without its password', async () => {
    await expect(ask(server.url.replace(/:[0-9a-f]+@/, ':wrong@'), 'SELECT 1')).rejects.toThrow('password')
  })

  it('stands beside another one, which leaves nothing behind when it stops', async () => {
    const other = await startPostgres()
    expect(await ask(other.url, 'SELECT 1 AS n')).toEqual([{ n: 1 }])
    await other.stop()
    expect(existsSync(other.folder)).toBe(false)
    await expect(ask(other.url, 'SELECT 1')).rejects.toThrow(/ECONN(REFUSED|RESET)/)
    expect(await ask(server.url, 'SELECT 1 AS n')).toEqual([{ n: 1 }])
  })

  it('goes with whoever started it, killed or not', () =>
    goesWithItsStarter('postgres.ts', 'startPostgres', async (url) =>
      expect(await ask(url, 'SELECT 1 AS n')).toEqual([{ n: 1 }]),
    ))
})
