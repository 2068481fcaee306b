import { tidyKeys } from '../schedules/stale-keys.ts'
import { claimOf } from './admission.ts'
import type { Parts } from './parts.ts'
import type { Run } from './run.ts'
import type { Send } from './send.ts'
import { type Abandoned, takeOver } from './takeover.ts'

/**
 * Held work whose key an earlier run holds that ended unknown: that run goes on in its place, with its stored bytes and token, in the
 * commit that removes the hold. What became of it: `moved`: something it rests on has; look again. `lost`: the claim on the hold is gone.
 */
export async function goOnHeld(
  parts: Parts,
  sender: Send,
  run: Run,
  from: Abandoned,
): Promise<'gone_on' | 'moved' | 'lost'> {
  const { remove = [], unlink = [], attempts = 1 } = run.held ?? {}
  const taken = takeOver(parts, from, run)
  const { ops, at, until } = taken
  const all = [...ops, ...remove, ...unlink]
  const done = await parts.state.commit(run.scope, all)
  if (!done.ok) return done.at >= ops.length && done.at < ops.length + remove.length ? 'lost' : 'moved'
  await tidyKeys({ state: parts.state, newId: parts.env.newId }, run.scope, all, done)
  await sender.send(taken.intent, claimOf({ at }, { owner: parts.node, until }, done), attempts)
  return 'gone_on'
}
