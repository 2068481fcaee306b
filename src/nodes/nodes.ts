import { GLOBAL } from '../core/action.ts'
import { isoTime } from '../core/clock.ts'
import type { Env } from '../core/env.ts'
import { kinds } from '../core/hold.ts'
import type { StateStore } from '../core/state.ts'

/** A node that has not said so for this long is no longer among those alive, milliseconds. It says so three times as often. */
export const NODE_EXPIRY_MS = 30_000

/** What a node knows of itself beside its name. */
export interface NodeAbout {
  readonly version: string
  /** Of the machine, or container. */
  readonly hostname: string
  /** Where it listens; undefined before it does. */
  readonly address: () => string | undefined
  /** How far the store's clock is ahead of the machine's, milliseconds. */
  readonly clockOffsetMs: () => number
}
/** One gateway, in its wire names. */
export interface NodeView {
  readonly id: string
  readonly version: string
  readonly rules_version: string
  readonly hostname: string
  readonly address?: string
  readonly clock_offset_ms: number
  readonly started_at: string
  readonly last_seen_at: string
}

/** Who is alive: each gateway on a store keeps an entry of its own there, which expires by itself when its node dies. */
export interface Nodes {
  /** This node is alive. Rejects as the store does. */
  announce(): Promise<void>
  /** This node stops in order. After the last `announce`. */
  leave(): Promise<void>
  /** By id, which sorts by when they started. */
  list(page: {
    readonly limit: number
    readonly after?: string
  }): Promise<{ readonly nodes: readonly NodeView[]; readonly next?: string }>
}

export function openNodes(deps: {
  readonly state: Pick<StateStore, 'commit' | 'list'>
  readonly env: Env
  readonly node: string
  readonly about: NodeAbout
  readonly rulesVersion: () => string
}): Nodes {
  const { state, env, node, about, rulesVersion } = deps
  const startedAt = isoTime(env.clock.now())
  const id = { kind: kinds.node, id: node } as const
  return {
    async announce() {
      const now = env.clock.now()
      const address = about.address()
      const view: NodeView = {
        id: node,
        version: about.version,
        rules_version: rulesVersion(),
        hostname: about.hostname,
        ...(address !== undefined && { address }),
        clock_offset_ms: Math.round(about.clockOffsetMs()),
        started_at: startedAt,
        last_seen_at: isoTime(now),
      }
      const value = JSON.stringify(view)
      await state.commit(GLOBAL, [{ op: 'put', ...id, value, version: env.newId(), expiresAt: now + NODE_EXPIRY_MS }])
    },
    async leave() {
      await state.commit(GLOBAL, [{ op: 'delete', ...id }])
    },
    async list(page) {
      const { entries, next } = await state.list(kinds.node, GLOBAL, page)
      return { nodes: entries.map((e) => JSON.parse(e.value) as NodeView), ...(next !== undefined && { next }) }
    },
  }
}
