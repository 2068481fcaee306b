import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, it } from 'vitest'
import { type Call, tellingSchema } from '../../scripts/receiver/receiver.ts'
import { type Listening, startReceiver } from '../../scripts/receiver/server.ts'

let receiver: Listening
const heard: Call[] = []
beforeEach(async () => {
  heard.length = 0
  receiver = await startReceiver(0, (call) => heard.push(call))
})
afterEach(() => receiver.close())

const ask = async (method: string, path: string, body?: string, token?: string) => {
  const headers: Record<string, string> = token === undefined ? {} : { 'idempotency-key': token }
  const answer = await fetch(receiver.url + path, { method, headers, ...(body !== undefined && { body }) })
  return { status: answer.status, body: (await answer.json()) as unknown }
}
const ACTION = '{"action_type": "reserve", "payload": {"order_id": "o-1"}}'

it('takes a call under the name in its path, and tells of it', async () => {
  expect(await ask('POST', '/stock', ACTION, 't-1')).toEqual({ status: 200, body: { id: 'stock-1' } })
  expect(heard).toHaveLength(1)
  const { body } = await ask('GET', '/_receiver/calls')
  expect(body).toEqual({ calls: heard })
  expect(heard[0]).toMatchObject({ receiver: 'stock', action_type: 'reserve', token: 't-1', effect: true })
})
it('is told how to answer, over HTTP as well, and forgets it', async () => {
  expect(await ask('POST', '/_receiver/answers', '{"receiver": "stock", "status": 409}')).toMatchObject({ status: 201 })
  expect((await ask('POST', '/stock', ACTION, 't-1')).status).toBe(409)
  expect((await ask('GET', '/_receiver/answers')).body).toMatchObject({ answers: [{ status: 409 }] })
  await ask('DELETE', '/_receiver/answers')
  await ask('DELETE', '/_receiver/calls')
  expect((await ask('POST', '/stock', ACTION, 't-1')).status).toBe(200)
  expect(heard.map((c) => c.n)).toEqual([1, 1])
})
it.each([
  ['POST', '/_receiver/answers', '{"receiver": "stock", "statsu": 409}', 400, /statsu/],
  ['POST', '/_receiver/answers', 'no JSON', 400, /expected object/],
  ['GET', '/_receiver/answer', undefined, 404, /there is no/],
  ['PUT', '/_receiver/calls', '{}', 405, /knows no PUT/],
  ['GET', '/stock', undefined, 405, /calls are POST/],
])('%s %s is refused in words', async (method, path, body, status, words) => {
  const answer = await ask(method, path, body)
  expect(answer.status).toBe(status)
  expect(JSON.stringify(answer.body)).toMatch(words)
  expect(heard).toEqual([])
})

it('takes what its page shows, and the page says every field', async () => {
  const text = readFileSync(join(import.meta.dirname, '../../scripts/receiver/README.md'), 'utf8')
  const shown = [...text.matchAll(/(\/_receiver\/answers) -d '([^']*)'/g)]
  expect(shown).toHaveLength(5)
  for (const [, path, body] of shown) expect((await ask('POST', path!, body)).status).toBe(201)
  const fields = [...text.matchAll(/^\| `(\w+)` \|/gm)].map((m) => m[1])
  expect(fields).toEqual(Object.keys(tellingSchema.shape))
})
