import type { Clock } from '../../core/clock.ts'
import type { Link } from './link.ts'
import type { ScriptName } from './lua/index.ts'
import { TAGS } from './text.ts'

/** Where the tags of a store lie, and how all of them are asked. */
export interface Spread {
  readonly link: Link
  readonly clock: Clock
  /** The clock tells the server's own time. */
  readonly servers: boolean
  /** What the keys of a tag begin with. The tag is in braces: a cluster puts all of them into one slot. */
  prefix(tag: number): string
  /** Asks all tags: one call where one server has them all, else one to each. An answer for each tag, in order. */
  look(script: ScriptName, args: readonly string[]): Promise<readonly unknown[]>
  /** The same, of what answers: undefined for a tag whose master is away, and why of the first. Rejects where one server has all of them. */
  lookWhereItCan(script: ScriptName, args: readonly string[]): Promise<Looked>
}
export interface Looked {
  readonly answers: readonly unknown[]
  readonly lost?: Error
}

export function spread(link: Link, clock: Clock, servers: boolean, name: string): Spread {
  const prefixes = Array.from({ length: TAGS }, (_, tag) => `${name}:{${tag}}:`)
  const each = (script: ScriptName, args: readonly string[]) =>
    prefixes.map((p) => link.script(script, [p], args) as Promise<unknown[]>)
  return {
    link,
    clock,
    servers,
    prefix: (tag) => prefixes[tag]!,
    async look(script, args) {
      if (!link.cluster) return (await link.script(script, prefixes, args)) as unknown[]
      return (await Promise.all(each(script, args))).flat()
    },
    async lookWhereItCan(script, args) {
      if (!link.cluster) return { answers: (await link.script(script, prefixes, args)) as unknown[] }
      const all = await Promise.allSettled(each(script, args))
      const lost = all.find((a) => a.status === 'rejected')
      return {
        answers: all.map((a) => (a.status === 'fulfilled' ? a.value[0] : undefined)),
        ...(lost && { lost: lost.reason as Error }),
      }
    },
  }
}
