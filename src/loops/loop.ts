import { Bell } from '../core/bell.ts'
import type { Env } from '../core/env.ts'

/** A piece of background work. Each runs on its own; a slow one holds up nobody. */
export interface Loop {
  readonly name: string
  /** How long to wait after a tick that left nothing behind, milliseconds. */
  readonly everyMs: number
  /** A tick that did this much is followed by another at once. */
  readonly batch: number
  /** Does what is due and answers how much it did. May throw: the next tick then waits longer. */
  tick(signal: AbortSignal): Promise<number>
  /** Resolves when nothing it began is still under way. */
  idle(): Promise<void>
}

export interface Loops {
  /** Runs a loop's next tick now; a name that is not running is ignored. */
  nudge(name: string): void
  /** Begins no further tick and waits for those under way. */
  stop(): Promise<void>
}

/** The longest a failing loop waits, milliseconds. */
const LONGEST_WAIT_MS = 30_000

export function startLoops(loops: readonly Loop[], env: Env): Loops {
  const stopping = new AbortController()
  const nudges = new Map<string, Bell>()
  const running = loops.map((loop) => {
    const nudge = new Bell()
    nudges.set(loop.name, nudge)
    return run(loop, env, nudge, stopping.signal)
  })
  return {
    nudge: (name) => nudges.get(name)?.ring(),
    async stop() {
      stopping.abort()
      await Promise.all(running)
      await Promise.all(loops.map((l) => l.idle()))
    },
  }
}

async function run(loop: Loop, env: Env, nudge: Bell, stop: AbortSignal): Promise<void> {
  const { clock, random, log } = env
  let failures = 0
  // Nodes that start together should not ask the store together for ever.
  let wait = loop.everyMs * random.float()
  while (!stop.aborted) {
    // After a failure nothing shortens the wait: a store that is down would be asked by every dispatch.
    await (failures > 0 ? clock.sleep(wait, stop) : nudge.sleep(clock, wait, stop))
    if (stop.aborted) return
    nudge.answer()
    try {
      const done = await loop.tick(stop)
      failures = 0
      wait = done >= loop.batch ? 0 : loop.everyMs
    } catch (error) {
      failures++
      const most = Math.min(LONGEST_WAIT_MS, Math.max(loop.everyMs, 100) * 2 ** Math.min(failures, 16))
      wait = most / 2 + (most / 2) * random.float()
      log.error({ loop: loop.name, failures, err: error }, 'a background loop failed; it is tried again')
    }
  }
}
