import { isoTime } from '../../core/clock.ts'
import { kinds } from '../../core/hold.ts'
import { uuidv7Time } from '../../core/ids.ts'
import type { Inventory, KindCount } from '../../state/sqlite/inspect.ts'
import { counted } from './findings.ts'

/** What a gateway does with entries that are due when it starts, of one and of several. */
const atOnce: { readonly [kind: string]: readonly [one: string, several: string] } = {
  [kinds.scheduled]: ['scheduled action is released', 'scheduled actions are released'],
  [kinds.copy]: ['copy is sent', 'copies are sent'],
  [kinds.occurrence]: ['occurrence is dispatched', 'occurrences are dispatched'],
  [kinds.recurring]: ['recurring action has an occurrence', 'recurring actions have an occurrence'],
  [kinds.flush]: ['group is sent', 'groups are sent'],
  buffer: ['group closes and is sent', 'groups close and are sent'],
  [kinds.intent]: ['delivery under way is taken up', 'deliveries under way are taken up'],
  [kinds.run]: ['chain execution goes on', 'chain executions go on'],
  [kinds.deadLetter]: ['dead letter is deleted, its time is over', 'dead letters are deleted, their time is over'],
  [kinds.auditOutbox]: ['audit record is carried over', 'audit records are carried over'],
}

/** What the file is and holds, one line, then one for each kind of entry. */
export function holdings(file: string, store: Inventory): readonly string[] {
  const { newestRecord, items } = store
  const newest = newestRecord === undefined ? '' : `, the newest of ${isoTime(uuidv7Time(newestRecord))}`
  const mib = (store.bytes / 2 ** 20).toFixed(1)
  return [
    `${file}: sound, schema ${store.schema}, ${mib} MiB, ${counted(store.records, 'audit record')}${newest}`,
    ...store.kinds.map((k) => `  ${k.kind}: ${k.entries}${k.atOnce > 0 ? `, ${k.atOnce} due at once` : ''}`),
    ...(items > 0 ? [`  events in open groups: ${items}`] : []),
  ]
}

/** What a gateway that starts on the file would do first. */
export function whatIsDue(store: Inventory, now: number): readonly string[] {
  const due = store.kinds.filter((k) => k.atOnce > 0)
  const oldest = first(due)
  const since = oldest !== undefined && oldest <= now ? `; the oldest has been due since ${isoTime(oldest)}` : ''
  if (due.length > 0) return [`A gateway that starts on it does at once${since}:`, ...due.map((k) => `  ${said(k)}`)]
  const next = first(store.kinds.filter((k) => k.kind !== kinds.deadLetter))
  return [`A gateway that starts on it finds nothing due${next === undefined ? '' : ` before ${isoTime(next)}`}`]
}

const first = (of: readonly KindCount[]): number | undefined =>
  of.reduce<number | undefined>((a, { firstDueAt: b }) => (a === undefined || (b ?? a) < a ? b : a), undefined)

function said({ kind, atOnce: n }: KindCount): string {
  const [one, several] = Object.hasOwn(atOnce, kind)
    ? atOnce[kind]!
    : [`entry of kind ${kind} is due`, `entries of kind ${kind} are due`]
  return `${n} ${n === 1 ? one : several}`
}
