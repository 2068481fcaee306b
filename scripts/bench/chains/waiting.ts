import { statSync } from 'node:fs'
import { setTimeout } from 'node:timers/promises'
import { endedStatuses, runStatuses } from '../../../src/chains/model/run.ts'
import type { Bench } from '../bench.ts'
import { type Gateway, openGateway } from './gateway.ts'
import { type Definition, startBody, waitingForSignal, waitingForTime } from './settings.ts'

const BATCH = 1000
const ended: readonly string[] = endedStatuses
const ON_THE_WAY = runStatuses.filter((s) => s !== 'waiting' && !ended.includes(s))
/** So long the executions may take to come to their wait once the last was started. */
const SETTLE_MS = 60_000
const IDLE_MS = 3000

/** Executions that wait for a day, or for a signal: what so many of them cost while they do, and at a start. */
export async function measureWaiting(bench: Bench): Promise<readonly [what: string, found: string][]> {
  const n = bench.quick ? 10_000 : 100_000
  const out: [string, string][] = []
  let gateway = await openGateway(bench, 'waiting')
  try {
    const chains: Definition[] = []
    for (const chain of [waitingForTime, waitingForSignal]) {
      const refused = await gateway.define(chain)
      if (refused === undefined) chains.push(chain)
      else out.push([chain.name, `skipped: the engine refuses it (${refused})`])
    }
    if (chains.length === 0) return out
    const what = `${n.toLocaleString('en')} executions, ${chains.map((c) => c.name).join(' and ')}`
    const empty = {
      idle: await idleMs(gateway),
      memory: gateway.server.memory(),
      bytes: sizeOf(gateway),
      readyMs: gateway.server.readyMs,
    }
    const began = performance.now()
    for (let i = 0; i < n; i += BATCH) await startBatch(gateway, chains[(i / BATCH) % chains.length]!, i)
    await allWait(gateway, n)
    const seconds = (performance.now() - began) / 1000
    const full = { memory: gateway.server.memory(), bytes: sizeOf(gateway) }
    gateway = await gateway.restart()
    const waiting = await depth(gateway)
    if (waiting < n) throw new Error(`${n - waiting} of ${n} executions were lost by a restart`)
    const again = gateway.server
    const idle = await idleMs(gateway)
    out.push(
      [`${what}: started and waiting`, `${seconds.toFixed(1)} s, in batches of ${BATCH}`],
      [
        `${what}: memory`,
        `${empty.memory.toFixed(0)} MiB before, ${full.memory.toFixed(0)} MiB after starting them, ${again.memory().toFixed(0)} MiB after a restart`,
      ],
      [
        `${what}: disk`,
        `${((full.bytes - empty.bytes) / 2 ** 20).toFixed(0)} MiB, ${((full.bytes - empty.bytes) / n / 1024).toFixed(1)} KiB each`,
      ],
      [`${what}: ready after a restart`, `${Math.round(again.readyMs)} ms; with none ${Math.round(empty.readyMs)} ms`],
      [`${what}: processor while they wait`, `${idle.toFixed(1)} ms a second; with none ${empty.idle.toFixed(1)}`],
    )
    return out
  } finally {
    await gateway.stop()
  }
}

/** Processor time it takes to do nothing, milliseconds a second. */
async function idleMs({ server }: Gateway): Promise<number> {
  const before = server.cpuMs()
  await setTimeout(IDLE_MS)
  return (server.cpuMs() - before) / (IDLE_MS / 1000)
}

async function startBatch({ server }: Gateway, chain: Definition, from: number): Promise<void> {
  const actions = Array.from({ length: BATCH }, (_, i) => startBody(chain.name, `waiting-${from + i}`))
  const answer = await fetch(`http://127.0.0.1:${server.port}/v1/dispatch/batch`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: `[${actions.join()}]`,
  })
  const text = await answer.text()
  const started = text.split('"outcome":"chain_started"').length - 1
  if (started < BATCH) throw new Error(`${BATCH - started} executions were not started: ${text.slice(0, 500)}`)
}

/** Until none is still on its way to its wait. */
async function allWait(gateway: Gateway, n: number): Promise<void> {
  const until = performance.now() + SETTLE_MS
  for (const status of ON_THE_WAY)
    for (;;) {
      const { chains } = (await gateway.get(`/v1/chains?status=${status}&limit=1`)) as { chains: readonly unknown[] }
      if (chains.length === 0) break
      if (performance.now() > until) throw new Error(`some of ${n} executions do not come to their wait`)
      await setTimeout(200)
    }
}

/** Executions with a due time: those that have not ended. */
async function depth({ server }: Gateway): Promise<number> {
  const text = await (await fetch(`http://127.0.0.1:${server.port}/metrics`)).text()
  return Number(/^signalbox_queue_depth\{kind="run"\} (\d+)/m.exec(text)?.[1] ?? 0)
}

const sizeOf = ({ store }: Gateway): number =>
  [store, `${store}-wal`].reduce((sum, file) => sum + (statSync(file, { throwIfNoEntry: false })?.size ?? 0), 0)
