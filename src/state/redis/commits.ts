import type { HandOver } from '../../core/audit.ts'
import { StateUnavailable, StateUnknown } from '../../core/errors.ts'
import type { Committed, Refused } from '../../core/state.ts'
import { type Answer, type Arming, batching, type Carrier, type Channel } from '../batching.ts'
import { charsOf } from '../chars.ts'
import { commitAnswer, type Reply } from './answers.ts'
import { type Entered, inOutbox } from './entered.ts'
import { StateFull, say } from './failure.ts'
import type { Spread } from './keys.ts'
import { type Commit, packCommits } from './ops.ts'
import { tagOf } from './text.ts'

export interface Commits {
  commit(commit: Commit): Promise<Committed | Refused>
  /** Waits for what is under way. */
  close(): Promise<void>
}

/**
 * Whoever has just been answered asks again at once, and is worth a few turns of the loop: a script for sixty costs little more than one
 * for thirty. Four at once, as with two the server and this process still waited for each other.
 */
const GATHERING: Arming = { turn: (then) => void setImmediate(then), quiet: 2, most: 16, atOnce: 4 }

/** The part of the time a caller waits within which a server begins; the rest is for what its clock and ours may differ. */
const LATEST = 0.9

/** Commits of one tag travel together, a few scripts one behind the other; those of different tags beside each other. */
export function commits({ link, clock, prefix, servers }: Spread, handOver?: HandOver): Commits {
  const channels = new Map<number, Channel<Commit>>()

  async function send(tag: number, batch: readonly Commit[]): Promise<readonly Answer[]> {
    const now = clock.now()
    let args: string[]
    try {
      args = packCommits(batch, now, servers ? now + link.timeoutMs * LATEST : undefined, handOver?.aheadMs ?? 0)
    } catch (e) {
      // It cannot travel, so it was not done; one at fault must not take the others with it.
      return batch.length === 1 ? [[1, say(e)]] : alone(tag, batch)
    }
    try {
      const replies = (await link.script('commit', [prefix(tag)], args)) as (Reply | Entered)[]
      if (replies.length === 0) return batch.map(() => [1, 'Redis was asked too late, and has done nothing'])
      const answers = batch.map((commit, i) => commitAnswer(commit, replies[i] as Reply, now))
      if (handOver !== undefined && replies.length > batch.length) {
        const done = batch.filter((c, i) => answers[i]!.ok && !c.dry)
        for (const entry of inOutbox(done, replies[batch.length] as Entered, now + handOver.aheadMs))
          handOver.take(entry)
      }
      return answers.map((answer): Answer => [0, answer])
    } catch (e) {
      // What needs no memory is still done by a full server, and is how it gets some back.
      if (e instanceof StateFull && batch.length > 1) return alone(tag, batch)
      return batch.map(() => [e instanceof StateUnavailable ? 1 : 2, say(e)])
    }
  }
  const alone = async (tag: number, batch: readonly Commit[]): Promise<readonly Answer[]> =>
    (await Promise.all(batch.map((one) => send(tag, [one])))).flat()

  const carrier = (tag: number): Carrier<Commit> => ({ run: (batch) => send(tag, batch), close: async () => {} })
  return {
    commit(commit) {
      const tag = tagOf(commit.scope)
      let channel = channels.get(tag)
      if (channel === undefined) {
        channel = batching(carrier(tag), GATHERING, StateUnknown, (c) => charsOf(c.ops))
        channels.set(tag, channel)
      }
      return channel.call(commit) as Promise<Committed | Refused>
    },
    async close() {
      await Promise.all([...channels.values()].map((c) => c.close()))
    },
  }
}
