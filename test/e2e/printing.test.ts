import { expect, test } from 'vitest'
import { onFreePort } from '../servers/ports.ts'
import { place } from './place.ts'
import { entry, type Running, start, until } from './run.ts'

const FULL = '/dev/full'

/** Its standard output is a pipe that nobody reads any more. */
function unread(args: readonly string[], cwd: string): Running {
  const running = start(args, { cwd })
  running.child.stdout!.destroy()
  return running
}
/** Its standard output is on a disk without room. */
const onFullDisk = (args: readonly string[], cwd: string): Running =>
  start(['-c', `exec "$0" "$@" > ${FULL}`, process.execPath, entry, ...args], { cwd, command: 'sh' })

const answers = (port: number): Promise<boolean> =>
  fetch(`http://127.0.0.1:${port}/livez`).then(
    (r) => r.ok,
    () => false,
  )

test.each([
  { where: 'a pipe that nobody reads', into: unread },
  { where: 'a full disk', into: onFullDisk },
])('a gateway that prints into $where runs all the same', async ({ into }) => {
  const gateway = await onFreePort(async (port) => {
    const running = into(['serve', '--port', String(port)], place().folder)
    await until(
      () => running.child.exitCode !== null || answers(port),
      () => `an answer at ${port}: ${running.stderr}`,
    )
    return running
  })
  gateway.signal('SIGTERM')
  expect(await gateway.ended, gateway.stderr).toEqual({ code: 0, signal: null })
  expect(gateway.stderr).toContain('"msg":"stopped"')
})

test('a command says in one line that its output found no room, and fails', async () => {
  const check = onFullDisk(['check'], place().folder)
  expect(await check.ended).toEqual({ code: 1, signal: null })
  expect(check.stderr).toMatch(/^signalbox: cannot write to the standard output: ENOSPC: .*\n$/)
})

test('a command whose reader has read enough ends as it would', async () => {
  const check = unread(['check'], place().folder)
  expect(await check.ended).toEqual({ code: 0, signal: null })
  expect(check.stderr).toBe('')
})
