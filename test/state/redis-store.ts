import { afterAll } from 'vitest'
import type { Clock } from '../../src/core/clock.ts'
import type { Random } from '../../src/core/ids.ts'
import type { StateStore } from '../../src/core/state.ts'
import { type Link, type LinkOptions, openLink } from '../../src/state/redis/link.ts'
import { storeOver } from '../../src/state/redis/store.ts'

let stores = 0

/** A store on the test's own clock, under a name of its own where none is given; closed after the test file at the latest. */
export async function redisStore(
  url: string,
  env: { readonly clock: Clock; readonly random: Random; readonly newId: () => string },
  more: Partial<LinkOptions> & { readonly prefix?: string; readonly servers?: boolean } = {},
): Promise<{ readonly state: StateStore; readonly link: Link }> {
  const { prefix = `test-${process.pid}-${++stores}`, servers = false, ...rest } = more
  const link = await openLink({ url, durability: 'everysec', clock: env.clock, random: env.random, ...rest })
  const state = storeOver({ link, clock: env.clock, servers, newId: env.newId, prefix })
  afterAll(() => state.close())
  return { state, link }
}
