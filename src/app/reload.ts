import { stat } from 'node:fs/promises'
import type { Env } from '../core/env.ts'

const LOOK_MS = 500

/** Calls `changed` after each edit of the configuration file, one at a time. A look each half second also sees renames and symlink swaps. */
export function watchConfig(file: string | undefined, env: Env, changed: () => Promise<void>): { stop(): void } {
  const { clock, log } = env
  let stopped = false
  let seen: string | undefined
  async function look(): Promise<void> {
    if (file === undefined || stopped) return
    const print = await fingerprint(file)
    if (seen !== undefined && print !== seen) {
      try {
        await changed()
      } catch (error) {
        log.error({ error }, 'an edit of the configuration could not be taken over')
      }
    }
    seen = print
    if (!stopped) clock.timer(LOOK_MS, () => void look())
  }
  void look()
  return {
    stop() {
      stopped = true
    },
  }
}

async function fingerprint(file: string): Promise<string> {
  try {
    const s = await stat(file, { bigint: true })
    return `${s.ino}:${s.size}:${s.mtimeNs}`
  } catch {
    return 'not there' // between the two halves of a rename, or gone: the load then says so
  }
}
