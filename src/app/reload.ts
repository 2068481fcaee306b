import { statSync } from 'node:fs'
import type { Env } from '../core/env.ts'

const LOOK_MS = 500

export interface Watching {
  /** Looks no more; resolves when an edit that is being taken over has been. */
  stop(): Promise<void>
}

/**
 * Calls `changed` after each edit of the configuration file, one at a time. A look each half second also sees renames and symlink swaps.
 * `loaded`: its fingerprint when it was loaded, so that an edit while the gateway was starting is one too.
 */
export function watchConfig(
  file: string | undefined,
  loaded: string,
  env: Env,
  changed: () => Promise<void>,
): Watching {
  const { clock, log } = env
  let stopped = false
  let seen = loaded
  async function look(): Promise<void> {
    if (file === undefined || stopped) return
    const print = fingerprint(file)
    if (print !== seen) {
      try {
        await changed()
      } catch (error) {
        log.error({ error }, 'an edit of the configuration could not be taken over')
      }
    }
    seen = print
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
