import { join } from 'node:path'
import { describe } from 'vitest'
import { root, start, until } from '../run.ts'
import { prove } from './prove.ts'
import type { OpenShared } from './store.ts'
import { told } from './told.ts'

const open: OpenShared = async (atEnd) => {
  const words = [join(root, 'scripts/local-aws/main.ts')]
  const aws = start(words, { cwd: root, command: process.execPath, env: { PORT: '0' }, atEnd })
  const port = await until(
    () => /listening on \S*:(\d+)/i.exec(aws.stdout)?.[1],
    () => `local AWS, which says ${aws.stdout} ${aws.stderr}`,
    60_000,
  )
  return {
    port: Number(port),
    settings: (through) => `[state]\nbackend = "dynamodb"\nurl = "http://127.0.0.1:${through}"\nregion = "us-east-1"\n`,
    trail: 'by_gateway',
  }
}

describe('several gateways', () => {
  told('DynamoDB', open)
  // The local server takes some hundred requests a second from all of them.
  prove('DynamoDB', open, 16)
})
