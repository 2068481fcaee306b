import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { expect, onTestFinished, test } from 'vitest'
import { type Gateway, listening } from './gateway.ts'
import type { Running } from './run.ts'

/** A gateway that tells one figure after another of its store, and the last for ever. */
async function telling(...figures: readonly string[]): Promise<Gateway> {
  let asked = 0
  const server = createServer((_, response) => {
    response.end(`${figures[Math.min(asked++, figures.length - 1)]}\n`)
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  onTestFinished(() => {
    server.closeAllConnections()
    server.close()
  })
  const { port } = server.address() as AddressInfo
  const running: Pick<Running, 'stdout' | 'stderr' | 'ended'> = {
    stdout: `Listening on http://127.0.0.1:${port}\n`,
    stderr: '',
    ended: new Promise(() => {}),
  }
  return listening(running as Running)
}
const up = 'signalbox_state_up 1'
const away = 'signalbox_state_up 0'
const one = (kind: string): string => `${up}\nsignalbox_queue_depth{kind="${kind}"} 1`

test('a store that does not answer is not taken for one in which nothing waits', async () => {
  expect(await (await telling(away, away, one('copy'))).waiting()).toEqual({ copy: 1 })
})

test('work that moves on from kind to kind while a look is under way is not missed', async () => {
  expect(await (await telling(up, up, one('intent'))).waiting()).toEqual({ intent: 1 })
})

test('nothing waits, and dead letters are no work', async () => {
  expect(await (await telling(one('dead_letter'))).waiting()).toEqual({})
})
