import { Redis as Client } from 'ioredis'
import { startProxy, type TcpProxy } from './proxy.ts'
import { type Redis, startRedis } from './redis.ts'

/** A master of a cluster, which names itself by the proxy before it. */
export interface Master {
  readonly server: Redis
  readonly proxy: TcpProxy
  /** Not through the proxy. */
  readonly admin: Client
  readonly id: string
  /** Its slots, both included. */
  readonly slots: readonly [first: number, last: number]
}
export interface RedisCluster {
  readonly masters: readonly Master[]
  /** Of the first, through its proxy. */
  readonly url: string
  stop(): Promise<void>
}

const SLOTS = 16384

/** Masters alone, with the slots dealt out evenly. Ready within some seconds. */
export async function startRedisCluster(many: number): Promise<RedisCluster> {
  const masters = await Promise.all(Array.from({ length: many }, (_, i) => startMaster(i, many)))
  const [first] = masters as [Master]
  const { password } = new URL(first.server.url)
  for (const { server, admin } of masters) {
    await first.admin.call('CLUSTER', 'MEET', '127.0.0.1', String(server.port), String(server.port + 10_000))
    await admin.config('SET', 'requirepass', password)
  }
  await Promise.all(
    masters.map(async ({ admin }) => {
      for (;;) {
        const info = (await admin.call('CLUSTER', 'INFO')) as string
        const slots = (await admin.call('CLUSTER', 'SLOTS')) as [number, number, [string, number]][]
        const named = masters.every((m) => slots.some(([, , [, port]]) => port === m.proxy.port))
        if (info.includes('cluster_state:ok') && slots.length === many && named) return
        await new Promise((r) => setTimeout(r, 50))
      }
    }),
  )
  return {
    masters,
    url: first.proxy.url(first.server.url),
    async stop() {
      for (const { admin } of masters) admin.disconnect()
      await Promise.all(masters.flatMap((m) => [m.proxy.close(), m.server.stop()]))
    },
  }
}

async function startMaster(i: number, many: number): Promise<Master> {
  const server = await startRedis({ settings: ['--cluster-enabled', 'yes', '--cluster-announce-ip', '127.0.0.1'] })
  const proxy = await startProxy({ port: server.port })
  const admin = new Client(server.url)
  await admin.config('SET', 'cluster-announce-port', String(proxy.port))
  const slots = [Math.ceil((i * SLOTS) / many), Math.ceil(((i + 1) * SLOTS) / many) - 1] as const
  await admin.call('CLUSTER', 'ADDSLOTSRANGE', String(slots[0]), String(slots[1]))
  await admin.call('CLUSTER', 'SET-CONFIG-EPOCH', String(i + 1))
  return { server, proxy, admin, id: (await admin.call('CLUSTER', 'MYID')) as string, slots }
}
