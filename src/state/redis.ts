import { StateUnavailable } from '../core/errors.ts'
import { uuidv7Source } from '../core/ids.ts'
import type { OpenStore } from './opened.ts'
import { openLink } from './redis/link.ts'
import { storeOver } from './redis/store.ts'
import { serverClock } from './store-clock.ts'

const PREFIX = 'signalbox'

/** State on a Redis (6.2 or later) or a Redis Cluster, shared by several gateways. It keeps no audit. */
export const openRedis: OpenStore = async (settings, tools) => {
  const { random } = tools
  if (settings.url === undefined) throw new StateUnavailable('[state].url is missing: redis://host:port')
  const link = await openLink({
    url: settings.url,
    durability: settings.durability ?? 'everysec',
    clock: tools.clock,
    random,
  })
  try {
    const clock = await serverClock('Redis', tools, () => link.time())
    const newId = uuidv7Source(clock.now, random)
    const state = storeOver({
      link,
      clock,
      servers: true,
      newId,
      prefix: settings.prefix ?? PREFIX,
      handOver: tools.handOver,
    })
    const close = async (): Promise<void> => {
      clock.stop()
      await state.close()
    }
    return {
      state: { ...state, close },
      audit: undefined,
      clock,
      clockOffsetMs: () => clock.offsetMs,
      trouble: () => link.trouble() ?? clock.unsteady(),
      where: `Redis at ${link.where}`,
    }
  } catch (e) {
    link.close()
    throw e
  }
}
