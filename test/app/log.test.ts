import { closeSync, mkdtempSync, openSync, readFileSync, rmSync } from 'node:fs'
import { hostname, tmpdir } from 'node:os'
import { join } from 'node:path'
import pino from 'pino'
import { afterAll, expect, test } from 'vitest'
import { openLog } from '../../src/app/log.ts'
import { fakeClock } from '../fakes/clock.ts'

const dir = mkdtempSync(join(tmpdir(), 'signalbox-log-'))
afterAll(() => rmSync(dir, { recursive: true }))

/** What is written for one line of information, and what pino alone writes for it at the same moment. */
async function lines(fields: object, message: string): Promise<readonly [string, string]> {
  const path = join(dir, 'log')
  const fd = openSync(path, 'w')
  const clock = fakeClock()
  const { log, close } = openLog(clock, fd)
  log.info(fields, message)
  await close()
  closeSync(fd)
  let told = ''
  const to = {
    write(line: string) {
      told += line
    },
  }
  const timestamp = (): string => `,"time":${clock.now()}`
  const base = { pid: process.pid, host: hostname() }
  pino({ base, errorKey: 'error', timestamp }, to).info(fields, message)
  return [readFileSync(path, 'utf8'), told]
}

const circle: { self?: object } = {}
circle.self = circle

test.each<[string, object]>([
  ['nothing', {}],
  ['a dispatch', { action_id: 'a', rule: undefined, provider: 'out', duration_ms: 3, ok: true, none: null }],
  [
    'a payload',
    { payload: { text: 'ü "quoted" \n \u2028 \ud800', list: [1, Number.NaN, undefined], deep: { a: {} } } },
  ],
  ['what is no number', { n: Number.POSITIVE_INFINITY }],
  ['a circle', { circle }],
])('a line of information is the one pino would write: %s', async (_, fields) => {
  const [ours, pinos] = await lines(fields, 'it is "so"')
  expect(ours).toBe(pinos)
})

test('an error in it is written with its stack', async () => {
  const [ours] = await lines({ error: new Error('broken') }, 'not loaded')
  expect(JSON.parse(ours)).toMatchObject({ error: { type: 'Error', message: 'broken', stack: expect.any(String) } })
})

test('each line has its own time and message', async () => {
  const path = join(dir, 'log')
  const fd = openSync(path, 'w')
  const clock = fakeClock()
  const { log, close } = openLog(clock, fd)
  const began = clock.now()
  for (const message of ['a', 'b', 'a']) log.info({}, message)
  await clock.advance(5)
  log.info({ n: 1 }, 'a')
  await close()
  closeSync(fd)
  const told = readFileSync(path, 'utf8')
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line) as object)
  expect(told).toMatchObject([
    { time: began, msg: 'a' },
    { time: began, msg: 'b' },
    { time: began, msg: 'a' },
    { time: began + 5, msg: 'a', n: 1 },
  ])
})
