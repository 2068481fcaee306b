import { statSync } from 'node:fs'
import type { Env } from '../core/env.ts'

const LOOK_MS = 500

export interface Watching {
  /** Looks no more; resolves when an edit that is being taken over has been. */
  stop(): Promise<void>
}

/**
 * Calls `changed` after each edit of the configuration file, one at a time. A look each half second also sees renames and symlink swaps.
 * `seen`: its fingerprint when it was read last, at the start or since: an edit before the first look is one too, and one that was
 * read along with the rules is not told of again.
 */
export function watchConfig(
  file: string | undefined,
  seen: () => string,
  env: Env,
  changed: () => Promise<unknown>,
): Watching {
  const { clock, log } = env
  let stopped = false
  async function look(): Promise<void> {
    if (file === undefined || stopped) return
    if (fingerprint(file) !== seen()) {
      try {
        await changed()
      } catch (error) {
        log.error({ error }, 'an edit of the configuration could not be taken over')
      }
    }
    if (!stopped) clock.timer(LOOK_MS, lookAgain)
  }
  let looking: Promise<void>
  const lookAgain = (): void => {
    looking = look()
  }
  lookAgain()
  return {
    stop() {
      stopped = true
      return looking
    },
  }
}

/** Of a file as it is now: another after every edit. */
export function fingerprint(file: string): string {
  try {
    const s = statSync(file, { bigint: true })
    return `${s.ino}:${s.size}:${s.mtimeNs}`
  } catch {
    return 'not there' // between the two halves of a rename, or gone: the load then says so
  }
}
