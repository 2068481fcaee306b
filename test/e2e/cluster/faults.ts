import type { Random } from '../../../src/core/ids.ts'
import { startProxy, type TcpProxy } from '../../servers/proxy.ts'
import { type Gateway, serve } from '../gateway.ts'
import { type AtEnd, place } from '../place.ts'
import { sleep } from '../run.ts'
import type { SharedStore } from './store.ts'

/** One of several gateways, with a way of its own to the store. */
export interface Node {
  readonly proxy: TcpProxy
  /** Undefined while it is down. */
  gateway: Gateway | undefined
  start(): Promise<void>
  /** Lines of its logs, those of processes that were killed included. */
  log(): readonly string[]
  /** Processes that ended though nobody had told them to. */
  readonly died: readonly string[]
}

export async function node(
  store: SharedStore,
  files: { readonly [name: string]: string },
  atEnd: AtEnd,
): Promise<Node> {
  const proxy = await startProxy({ port: store.port })
  atEnd(() => proxy.close())
  const at = place({ ...files, 'gateway.toml': `${store.settings(proxy.port)}\n${files['gateway.toml']}` }, atEnd)
  const all: Gateway[] = []
  const died: string[] = []
  const one: Node = {
    proxy,
    gateway: undefined,
    async start() {
      const gateway = await serve(at, ['--port', '0'], { atEnd })
      one.gateway = gateway
      all.push(gateway)
      void gateway.ended.then(({ code, signal }) => {
        if (one.gateway === gateway) died.push(`it ended with ${code ?? signal}: ${gateway.stderr.slice(-2000)}`)
      })
    },
    died,
    log: () => all.flatMap((g) => g.stderr.split('\n')),
  }
  return one
}

/** Longer than a lease: whoever wakes after it has lost all it had in hand. */
const PAUSE_MS = 32_000

/**
 * What happens to one gateway, and how long it takes. A pause is longer than a lease only where there is time for it: what a shorter one
 * does, the others do too.
 */
const faults: {
  readonly [name: string]: (of: Node, random: Random, long: boolean, changed: () => void) => Promise<void>
} = {
  async kill(of, random, _long, changed) {
    const { gateway } = of
    of.gateway = undefined
    changed()
    gateway!.signal('SIGKILL')
    await gateway!.ended
    await sleep(random.float() * 500)
    await of.start()
    changed()
  },
  async pause(of, random, long) {
    of.gateway!.signal('SIGSTOP')
    await sleep(long ? PAUSE_MS : 500 + random.float() * 1500)
    of.gateway!.signal('SIGCONT')
  },
  async stop(of, _random, _long, changed) {
    const { gateway } = of
    of.gateway = undefined
    changed()
    await gateway!.stop()
    await of.start()
    changed()
  },
  async slow(of, random) {
    of.proxy.delay(20 + random.float() * 200)
    await sleep(500 + random.float() * 1500)
    of.proxy.delay(0)
  },
  async cut(of, random) {
    of.proxy.cut()
    await sleep(random.float() * 300)
  },
  async gone(of, random) {
    of.proxy.down()
    await sleep(200 + random.float() * 2000)
    of.proxy.up()
  },
  async silent(of, random) {
    of.proxy.blackHole()
    await sleep(500 + random.float() * 4000)
    of.proxy.up()
  },
}
const names = Object.keys(faults)

/** Something happens to one of the gateways, one after another, until the time is over; each of the faults in turn, on whom the seed says. Answers what did. */
export async function trouble(
  nodes: readonly Node[],
  random: Random,
  seconds: number,
  changed: () => void,
): Promise<readonly string[]> {
  const until = performance.now() + seconds * 1000
  const done: string[] = []
  // One pause over a lease is enough, and is had beside the rest.
  const paused =
    seconds * 1000 > PAUSE_MS + 10_000
      ? sleep(2000).then(() => faults['pause']!(nodes.at(-1)!, random, true, changed))
      : undefined
  if (paused) done.push('pause longer than a lease')
  const others = paused ? nodes.slice(0, -1) : nodes
  while (performance.now() < until) {
    await sleep(100 + random.float() * 400)
    const name = names[Math.floor(random.float() * names.length)]!
    done.push(name)
    await faults[name]!(others[Math.floor(random.float() * others.length)]!, random, false, changed)
  }
  await paused
  for (const { proxy } of nodes) {
    proxy.delay(0)
    proxy.up()
  }
  return done
}
