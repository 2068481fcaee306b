import { expect, onTestFinished, test } from 'vitest'
import { seededRandom } from '../../../src/core/ids.ts'
import type { JsonObject } from '../../../src/core/json.ts'
import { effectsOf, misses, strayLetters, unanswerable } from '../accounts.ts'
import { files, kinds, startLoad } from '../crash-load.ts'
import {
  answerAsking,
  type Begun,
  definitionsToml,
  executionKinds,
  executionRules,
  misdone,
  PROVIDER,
} from '../execution-kinds.ts'
import { drained, type Gateway } from '../gateway.ts'
import { receiver } from '../receiver.ts'
import { sleep, until } from '../run.ts'
import { type Node, node, trouble } from './faults.ts'
import { limitRules, quotaBody, startLimits, tickBody, twice } from './limits.ts'
import type { OpenShared } from './store.ts'

const NODES = 3
const CLIENTS = 64
/** Shorter ones run beside each other (CI), on cores that servers and gateways share. */
const SHORT_SECONDS = 30
/** What a killed gateway had claimed is due when its lease has run out. */
const GRACE_MS = 60_000

const seconds = Number(process.env['CLUSTER_SECONDS'] ?? 6)
/** Few enough to be used up, however short it is. */
const quota = Math.ceil(Math.min(60, 3 * seconds))
/** An even one proves PostgreSQL as it is, an odd one behind PgBouncer. */
export const seed = Number(process.env['SEED'] ?? Math.floor(Math.random() * 1e6))

/** Several gateways on one store, while they are killed and paused and their ways to the store fail. `inShort`: clients of a run that is short, where the store is slow. */
export function prove(name: string, open: OpenShared, inShort = CLIENTS): void {
  test(`${NODES} gateways on ${name}: all that was accepted has one effect, limits hold, nothing is stuck (SEED=${seed})`, {
    timeout: seconds * 1000 + 2 * GRACE_MS + 60_000,
  }, async () => {
    console.log(`${name}: SEED=${seed} CLUSTER_SECONDS=${seconds} repeats it`)
    const random = seededRandom(seed)
    const pace = seededRandom(seed + 1)
    const hook = await receiver(async () => {
      await sleep(pace.float() * 100)
      return { status: 200 }
    })
    const store = await open(onTestFinished)
    const provider = (of: string): string =>
      `[[providers]]\nname = "${of}"\ntype = "webhook"\nurl = "${hook.url}/${of}"\n`
    const own = files(hook.url)
    const all = {
      ...own,
      'gateway.toml': `[background]\nrecurring_check_interval_seconds = 1\n\n${own['gateway.toml']}\n${provider('limited')}${provider('ticks')}${provider(PROVIDER)}\n${definitionsToml()}`,
      'rules/rules.yaml': `${own['rules/rules.yaml']}${limitRules}${executionRules()}`,
    }
    const nodes: Node[] = []
    for (let i = 0; i < NODES; i++) nodes.push(await node(store, all, onTestFinished))
    await Promise.all(nodes.map((n) => n.start()))
    const [first] = nodes
    const day = quotaBody(quota)
    for (const [path, body] of [
      ['/v1/quotas/day', day],
      ['/v1/recurring/tick', tickBody],
    ] as const)
      expect((await first!.gateway!.ask('PUT', path, body)).status).toBe(201)
    // It is counted by whoever knows of it, which for the others is within a second of the answer.
    for (const { gateway } of nodes)
      await until(
        async () => (await gateway!.ask('GET', `/v1/quotas/day?tenant=${day.tenant}`)).status === 200,
        'the quota at each of them',
      )

    const load = startLoad(seed, seconds < SHORT_SECONDS ? inShort : CLIENTS)
    const limits = startLimits(seed, quota)
    const changed = (): void => {
      const bases = nodes.flatMap((n) => (n.gateway ? [n.gateway.base] : []))
      load.up(bases)
      limits.up(bases)
    }
    changed()
    const begun: Begun[] = []
    let over = false
    const starting = startExecutions(nodes, begun, () => over)
    const done = await trouble(nodes, random, seconds, changed)
    changed()
    const healed = performance.now()
    await sleep(500)
    over = true
    await starting
    const answeredKinds = (): number => new Set(load.sent.flatMap((s) => (s.answer ? [s.kind] : []))).size
    await until(() => answeredKinds() === kinds.length, 'an answer to each kind of request', GRACE_MS)
    // Those whose first try a killed gateway had claimed have their answer when its lease has run out.
    const answeredAll = load.end()
    await until(
      () => limits.allMet(hook),
      'something that keeps within each limit, and something that does not',
      GRACE_MS,
    )
    await limits.end()
    await answeredAll
    // The occurrences may have stood still as long.
    await until(() => hook.bodies('/ticks').length > 0, 'an occurrence', GRACE_MS)

    expect(nodes.flatMap((n) => n.died)).toEqual([])
    const gateway = first!.gateway!
    await until(
      async () => (await gateway.ask('DELETE', '/v1/recurring/tick?tenant=ticks')).status < 300,
      'the recurring action gone',
    )
    await drained(gateway, GRACE_MS, () => answerAsking(gateway))
    const answered = load.sent.filter((s) => s.answer)
    console.log(
      `${name}: ${done.join(', ')}; ${load.sent.length} requests, ${load.sent.length - answered.length} cut off, ${hook.effects.size} effects of ${hook.requests} sendings, ${begun.length} executions, all done ${Math.round(performance.now() - healed)} ms after the last fault; limits ${limits.told}`,
    )
    expect(hook.wrong).toEqual([])
    const wrong = [...misses(load.sent, effectsOf(hook.bodies), true), ...limits.wrong(hook), ...twice(hook)]
    // Whatever happens to the store, it is no error of ours.
    wrong.push(...nodes.flatMap((n, i) => n.log().flatMap((l) => (l.includes('"error_id"') ? [`${i}: ${l}`] : []))))
    // The first tell enough: one fault may show in thousands of answers. What the gateway knows of them says where they went.
    for (const one of wrong.slice(0, 3)) {
      const id = one.slice(0, one.indexOf(':'))
      const names = [id, ...(/"error_id":"([^"]+)"/.exec(one)?.slice(1) ?? [])]
      const { text } = await gateway.ask('GET', `/v1/actions/${id}`)
      const told = (line: string): boolean => names.some((name) => line.includes(name))
      const lines = nodes.flatMap((n, i) => n.log().flatMap((l) => (told(l) ? [`${i}: ${l}`] : [])))
      console.log([one, text, ...lines].join('\n'))
    }
    expect(wrong.slice(0, 20)).toEqual([])
    const effects = hook.bodies(`/${PROVIDER}`).map((b) => b['payload'] as JsonObject)
    expect(await misdone(gateway, begun, effects)).toEqual([])
    expect(new Set(begun.map((b) => b.kind))).toEqual(new Set(executionKinds))
    const gateways = nodes.map((n) => n.gateway!)
    expect(await unanswerable(gateways, load.sent)).toEqual([])
    expect(await strayLetters(gateway, load.sent)).toEqual([])
    expect(nodes.flatMap((n) => n.died)).toEqual([])
    expect(await Promise.all(gateways.map((g) => g.stop()))).toEqual([0, 0, 0])
  })
}

/** Executions of every kind, some each second, on whichever gateway is up, until there is one of each; those that were acknowledged are added. */
async function startExecutions(nodes: readonly Node[], begun: Begun[], over: () => boolean): Promise<void> {
  const starting: Promise<void>[] = []
  const one = async (gateway: Gateway, kind: string, n: string, device: string): Promise<void> => {
    const action = { action_type: kind, provider: PROVIDER, payload: { n, device } }
    const told = await gateway.ask('POST', '/v1/dispatch', action).catch(() => undefined)
    if (told?.status === 202) begun.push({ id: told.body['chain_id'] as string, kind, n, device })
  }
  const all = executionKinds.length
  for (let i = 0; !over() || new Set(begun.map((b) => b.kind)).size < all; i++) {
    const up = nodes.flatMap((n) => n.gateway ?? [])
    const kind = executionKinds[i % all]!
    // Each round begins at another: no kind may hang on one that is cut off.
    const at = (i + Math.floor(i / all)) % up.length
    if (up.length > 0) starting.push(one(up[at]!, kind, `${kind}-${i}`, `d${i % 2}`))
    await sleep(200)
  }
  await Promise.all(starting)
}
