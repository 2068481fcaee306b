import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { afterAll, beforeAll } from 'vitest'
import { type LocalAws, startLocalAws } from '../../scripts/local-aws/server.ts'
import { systemClock } from '../../src/core/clock.ts'
import { systemRandom, uuidv7Source } from '../../src/core/ids.ts'
import { type Client, openClient, type Patience } from '../../src/state/dynamodb/client.ts'
import { openStores, type Stores } from '../../src/state/dynamodb/store.ts'
import { ensureTables, type Tables } from '../../src/state/dynamodb/tables.ts'
import type { FakeClock } from '../fakes/clock.ts'

/** One local AWS for a file. Nothing expires in it by itself: the tests' days are long past. */
export function dynamo() {
  let aws: LocalAws | undefined
  let n = 0
  const wall = systemClock()
  const random = systemRandom()
  beforeAll(async () => {
    aws = await startLocalAws({ port: 0, now: () => 0 })
  })
  afterAll(() => aws?.close())

  const url = (): string => aws!.url
  const tables = (): Tables => ({ state: `t${++n}_state`, audit: `t${n}_audit` })
  /** The server lives in this very thread: it may be slow to answer. */
  const slow = { requestMs: 10_000, deadlineMs: 30_000 }
  const client = (endpoint = url(), patience: Patience = slow): Promise<Client> =>
    openClient({ endpoint, region: 'us-east-1', clock: wall, random, patience })
  async function stores(
    clock: FakeClock,
    on: { readonly endpoint?: string; readonly tables?: Tables; readonly patience?: Patience } = {},
  ): Promise<Stores & { readonly client: Client; readonly tables: Tables }> {
    const mine = on.tables ?? tables()
    const db = await client(on.endpoint ?? url(), on.patience)
    await ensureTables(db, mine, true, (ms) => wall.sleep(ms))
    // The seed of a test would make the same tokens again, and a token's request is done once.
    const newId = uuidv7Source(wall.now, random)
    return { ...(await openStores({ client: db, tables: mine, clock, newId })), client: db, tables: mine }
  }
  return { url, tables, client, stores, wall }
}

export const THROTTLED = 'ProvisionedThroughputExceededException'
/**
 * Stands before a server and passes on what is asked. `answer` may give an error's name, which is said in its place and nothing is
 * done; and may be waited for.
 */
export async function startBetween(
  url: string,
  answer: (operation: string, body: string) => string | undefined | Promise<string | undefined>,
): Promise<{ readonly endpoint: string; close(): Promise<void> }> {
  const server = createServer(async (request, response) => {
    const body = Buffer.concat(await Array.fromAsync(request as AsyncIterable<Buffer>))
    const target = String(request.headers['x-amz-target'])
    const type = { 'content-type': 'application/x-amz-json-1.0' }
    const no = await answer(target.split('.').at(-1)!, body.toString())
    if (no !== undefined) {
      response.writeHead(400, type)
      response.end(JSON.stringify({ __type: `com.amazonaws.dynamodb.v20120810#${no}`, message: 'says the store' }))
      return
    }
    const headers = { ...type, 'x-amz-target': target, authorization: String(request.headers.authorization) }
    const said = await fetch(url, { method: 'POST', headers, body })
    response.writeHead(said.status, type)
    response.end(await said.text())
  })
  await new Promise<void>((done) => server.listen(0, '127.0.0.1', done))
  return {
    endpoint: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    close() {
      server.closeAllConnections()
      return new Promise((closed) => server.close(() => closed()))
    },
  }
}
