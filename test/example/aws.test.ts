import { execFile } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { expect, it } from 'vitest'
import { url, useLocalAws } from '../local-aws/setup.ts'

/** The stand-in for a missing aws command line. */
const program = fileURLToPath(new URL('../../examples/aws-event-pipeline/scripts/aws.mjs', import.meta.url))

useLocalAws()

const aws = (...args: readonly string[]): Promise<{ code: unknown; out: string; err: string }> => {
  const credentials = { AWS_ACCESS_KEY_ID: 'test', AWS_SECRET_ACCESS_KEY: 'test', AWS_REGION: 'us-east-1' }
  const env = { PATH: process.env['PATH'], AWS_ENDPOINT_URL: url(), ...credentials }
  return new Promise((resolve) => {
    execFile(process.execPath, [program, ...args], { env }, (e, out, err) => resolve({ code: e?.code ?? 0, out, err }))
  })
}

it('makes the call and prints the answer as JSON', async () => {
  const { code, out } = await aws('sqs', 'create-queue', '--queue-name', 'telemetry')
  expect(code).toBe(0)
  expect(JSON.parse(out)).toEqual({ QueueUrl: `${url()}/000000000000/telemetry` })
})
it('fails in the words of the command line, which the scripts look for', async () => {
  const missing = await aws('lambda', 'get-function-configuration', '--function-name', 'nothing')
  expect(missing.code).toBe(254)
  expect(missing.err).toMatch(
    /^An error occurred \(ResourceNotFoundException\) when calling the GetFunctionConfiguration operation: /,
  )
})
it.each([
  [['s4', 'list-buckets'], 'unknown service "s4"'],
  [['sqs', 'make-coffee'], 'sqs has no operation "make-coffee"'],
  [['sqs', 'create-queue', 'name'], 'expected --option value, not name'],
])('%j is refused', async (args, message) => {
  const { code, err } = await aws(...args)
  expect(code).toBe(254)
  expect(err.trim()).toBe(message)
})
