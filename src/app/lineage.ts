import type { Random } from '../core/ids.ts'
import { type LineageSigner, lineageSigner } from '../core/lineage.ts'
import type { Control } from '../core/state.ts'

const KEY = 'key'
const KEY_BYTES = 32

export interface LineageSecrets {
  /** Undefined: one is made, once, and kept in the store. */
  readonly secret: string | undefined
  /** What they signed is still taken. */
  readonly previousSecrets: readonly string[]
}

/** The signer every node of a store shares, whether its key is configured or made here. Throws what the store throws. */
export async function openSigner(
  { secret, previousSecrets }: LineageSecrets,
  control: Control,
  random: Random,
): Promise<LineageSigner> {
  return lineageSigner(secret ?? (await keptKey(control, random)), previousSecrets)
}

/** The first node makes it; another that was a moment later takes the first one's. */
async function keptKey(control: Control, random: Random): Promise<string> {
  const made = Buffer.from(random.fill(new Uint8Array(KEY_BYTES))).toString('base64url')
  const { promise: appeared, resolve } = Promise.withResolvers<void>()
  const stop = control.subscribe((id, doc) => id === KEY && doc && resolve())
  try {
    for (;;) {
      const kept = control.get(KEY)
      if (kept) return kept.value
      if (await control.put(KEY, made, { ifVersion: null })) return made
      // Another node was first: its document is seen here within a second.
      await appeared
    }
  } finally {
    stop()
  }
}
