import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, readdir, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { CreateFunctionCommand, InvokeCommand, LambdaClient } from '@aws-sdk/client-lambda'
import { expect, it } from 'vitest'
import { zip } from './setup.ts'

const MAIN = new URL('../../scripts/local-aws/main.ts', import.meta.url).pathname

it('says where it listens; SIGTERM ends it, its functions and its files', async () => {
  const TMPDIR = await mkdtemp(join(tmpdir(), 'local-aws-test-'))
  const main = spawn(process.execPath, [MAIN], {
    env: { ...process.env, PORT: '0', TMPDIR },
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  try {
    const [line] = (await once(createInterface({ input: main.stdout }), 'line')) as [string]
    expect(line).toMatch(/^Local AWS listening on http:\/\/localhost:\d+$/)
    const credentials = { accessKeyId: 'test', secretAccessKey: 'test' }
    const lambda = new LambdaClient({ region: 'us-east-1', endpoint: line.split(' ').at(-1) ?? '', credentials })
    const ZipFile = zip({ 'index.js': 'exports.handler = async () => process.pid' })
    const Role = 'arn:aws:iam::000000000000:role/r'
    const settings = { FunctionName: 'pid', Runtime: 'nodejs22.x', Handler: 'index.handler', Role } as const
    await lambda.send(new CreateFunctionCommand({ ...settings, Code: { ZipFile } }))
    const { Payload } = await lambda.send(new InvokeCommand({ FunctionName: 'pid' }))
    const pid = Number(Payload?.transformToString())
    expect(process.kill(pid, 0)).toBe(true)
    expect(await readdir(TMPDIR)).toHaveLength(1)
    const ended = once(main, 'exit')
    main.kill('SIGTERM')
    expect(await ended).toEqual([0, null])
    expect(await readdir(TMPDIR)).toEqual([])
    await expect.poll(() => isRunning(pid)).toBe(false)
  } finally {
    main.kill('SIGKILL')
    await rm(TMPDIR, { recursive: true, force: true })
  }
})

const isRunning = (pid: number): boolean => {
  try {
    return process.kill(pid, 0)
  } catch {
    return false
  }
}
