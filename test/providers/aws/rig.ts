import { afterEach, beforeEach, vi } from 'vitest'
import type { Action } from '../../../src/core/action.ts'
import type { Json, JsonObject } from '../../../src/core/json.ts'
import { type TestEnv, testEnv } from '../../fakes/env.ts'
import { type Answer, type Captured, type CaptureServer, captureServer } from '../capture.ts'
import { anAction, openProvider, TOKEN } from '../open.ts'
import { ok, type Service } from './answers.ts'
import { bareAws } from './environment.ts'

export interface AwsRig {
  readonly server: CaptureServer
  readonly env: TestEnv
  send(action: Partial<Action>, lineage?: string): Promise<Json>
  /** What `send` put on the wire. */
  wire(action: Partial<Action>, lineage?: string): Promise<Captured>
  check(): Promise<void>
  render(action: Partial<Action>, lineage?: string): Json
  windowMs(action: Partial<Action>): number
}

/** Opens providers of one type against capturing servers, each closed after its test. */
export function awsRigs(type: string, service: Service, config: JsonObject) {
  const closing: (() => Promise<void>)[] = []
  beforeEach(() => bareAws())
  afterEach(async () => {
    for (const close of closing.splice(0)) await close()
    vi.unstubAllEnvs()
  })
  return async (over: JsonObject = {}, answer: Answer = ok[service]): Promise<AwsRig> => {
    const server = await captureServer(answer)
    const env = testEnv()
    const provider = openProvider(
      type,
      { aws_region: 'us-east-1', aws_endpoint_url: server.url, ...config, ...over },
      env,
    )
    closing.push(provider.close, server.stop)
    const signal = AbortSignal.timeout(10_000)
    const render = (action: Partial<Action>, lineage?: string) =>
      provider.render(anAction(action), { token: TOKEN, ...(lineage !== undefined && { lineage }) })
    const send = async (action: Partial<Action>, lineage?: string) => {
      // As it comes back from the store.
      const request = JSON.parse(JSON.stringify(render(action, lineage))) as Json
      return (await provider.send(request, { token: TOKEN, signal })).body
    }
    return {
      server,
      env,
      send,
      async wire(action, lineage) {
        await send(action, lineage)
        const last = server.requests.at(-1)
        if (last === undefined) throw new Error('nothing arrived')
        return last
      },
      check: () => provider.check(signal),
      render,
      windowMs: (action) => provider.dedupWindowMs(render(action)),
    }
  }
}
