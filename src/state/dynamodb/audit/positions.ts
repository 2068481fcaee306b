import { HOUR_MS } from './ages.ts'

/** How far nodes' trails have been followed: the last number of each, and how many of that one's records. */
export type Places = ReadonlyMap<string, readonly [seq: number, taken: number]>

/**
 * A position in the trail of all nodes. Everything that was written before the hour (hours since the epoch) has been followed, but for
 * what became visible within moments of it; so it names no node that has written nothing since.
 */
export interface Position {
  readonly hour: number
  readonly places: Places
}
export const hourOf = (ms: number): number => Math.floor(ms / HOUR_MS)

/** As text, one for each: nodes in their order, numbers without leading zeros. */
export const positionText = ({ hour, places }: Position): string =>
  [
    `d${hour.toString(36)}`,
    ...[...places].sort(([a], [b]) => (a < b ? -1 : 1)).map(([node, [seq, n]]) => `${node}.${seq.toString(36)}.${n}`),
  ].join('~')

export function positionOf(text: string): Position | undefined {
  const [head = '', ...parts] = text.split('~')
  const [, hour] = /^d([0-9a-z]{1,6})$/.exec(head) ?? []
  if (hour === undefined) return undefined
  const places = new Map<string, readonly [number, number]>()
  for (const part of parts) {
    const [, node, seq, taken] = /^([0-9a-z]+)\.([0-9a-z]{1,10})\.(\d{1,3})$/.exec(part) ?? []
    if (node === undefined) return undefined
    places.set(node, [Number.parseInt(seq!, 36), Number(taken)])
  }
  const found = { hour: Number.parseInt(hour, 36), places }
  return positionText(found) === text ? found : undefined
}

/** Whether a place lies behind another. */
export const isAfter = (place: readonly [number, number], p: readonly [number, number] | undefined): boolean =>
  p === undefined || place[0] > p[0] || (place[0] === p[0] && place[1] > p[1])
