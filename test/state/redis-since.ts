import type { Redis as Client } from 'ioredis'
import { scripts } from '../../src/state/redis/lua/index.ts'

/** The oldest that is taken. No binary of it is to be had, but a later one knows since when each command and option is there. */
const OLDEST = [6, 2, 0]

type Doc = readonly (string | readonly unknown[])[]
const field = (doc: Doc, name: string): unknown => {
  const at = doc.findIndex((f, i) => i % 2 === 0 && f === name)
  return at < 0 ? undefined : doc[at + 1]
}
const isLater = (since: unknown): boolean => {
  const parts = String(since).split('.').map(Number)
  const at = OLDEST.findIndex((n, i) => parts[i] !== n)
  return at >= 0 && !(parts[at]! < OLDEST[at]!)
}

/** Of the commands that were called since its figures began, and of the scripts' calls with their options: those that are later. */
export async function laterThanOldest(server: Client): Promise<{ readonly seen: number; readonly later: string[] }> {
  const docOf = async (name: string): Promise<Doc> => {
    const [, doc] = (await server.call('COMMAND', 'DOCS', name)) as [string, Doc]
    return doc
  }
  const stats = await server.info('commandstats')
  const calls = Object.values(scripts).flatMap((lua) => [...lua.matchAll(/\bcall\('([A-Z]+)'(.*)/g)])
  const names = new Set([
    ...[...stats.matchAll(/^cmdstat_(\S+?):/gm)].map(([, name]) => name!),
    ...calls.map(([, name]) => name!.toLowerCase()),
  ])
  const later: string[] = []
  for (const name of names) {
    const since = field(await docOf(name), 'since')
    if (isLater(since)) later.push(`${name}: ${since}`)
  }
  for (const [, name, rest] of calls) {
    const known = optionsOf((field(await docOf(name!), 'arguments') ?? []) as readonly Doc[])
    for (const [, option] of rest!.matchAll(/'([A-Z]{2,})'/g)) {
      if (option === name || rest!.includes(`call('${option}'`)) continue
      const since = known.get(option!)
      if (since === undefined || isLater(since)) later.push(`${name} ${option}: ${since}`)
    }
  }
  return { seen: names.size, later: [...new Set(later)] }
}

/** By its word, since when; as old as its command where nothing else is said. */
function optionsOf(all: readonly Doc[], since: unknown = '0.0.0'): Map<string, unknown> {
  const found = new Map<string, unknown>()
  for (const one of all) {
    const its = field(one, 'since') ?? since
    const token = field(one, 'token')
    if (token !== undefined) found.set(String(token), its)
    for (const [name, of] of optionsOf((field(one, 'arguments') ?? []) as readonly Doc[], its)) found.set(name, of)
  }
  return found
}
