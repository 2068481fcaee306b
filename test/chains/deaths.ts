import { expect } from 'vitest'
import type { Chains } from '../../src/chains/chains.ts'
import type { StateStore } from '../../src/core/state.ts'
import { type Crash, crashing } from '../fakes/store.ts'
import type { World } from './set-up.ts'

/** Claims of a dead node run out after 30 s: by then everything must have gone on, and all is over some time later. */
const SECONDS = 120

/**
 * Runs `act` on a node that dies at each of its commits in turn (before it, after it, and after it with the answer lost), lets
 * another finish, and looks. Answers how many commits there were.
 */
export async function everyDeath<G extends { readonly w: World }>(
  make: () => Promise<G>,
  act: (given: G, chains: Chains, store: StateStore) => Promise<void>,
  look: (given: G, chains: Chains, label: string) => Promise<void>,
): Promise<number> {
  for (let n = 1; ; n++)
    for (const when of ['before', 'after', 'reply-lost'] satisfies Crash[]) {
      const given = await make()
      const { env, memory } = given.w
      const dying = crashing(memory.state, n, when)
      await act(given, await given.w.node(dying), dying).catch((e: unknown) => {
        if (!dying.crashed) throw e
      })
      await env.clock.settle()
      if (!dying.crashed) return n - 1
      const second = await given.w.node()
      for (let s = 0; s < SECONDS; s += 10) {
        await env.clock.advance(10_000)
        await second.pull()
      }
      const label = `commit ${n}, ${when}`
      await look(given, second, label)
      const waiting = (await memory.state.depths()).find((d) => d.kind === 'run')
      expect(waiting, label).toBeUndefined()
    }
}
