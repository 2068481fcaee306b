/** How far each node's trail has been followed: its last number, and how many of that one's records. */
export type Positions = ReadonlyMap<string, readonly [seq: number, taken: number]>

/** As text, one for each: nodes in their order, numbers without leading zeros. */
export const positionText = (p: Positions): string =>
  `d${[...p]
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([node, [seq, taken]]) => `${node}.${seq.toString(36)}.${taken}`)
    .join('~')}`

export function positionsOf(text: string): Positions | undefined {
  if (!text.startsWith('d')) return undefined
  const parts = text === 'd' ? [] : text.slice(1).split('~')
  const found = new Map<string, readonly [number, number]>()
  for (const part of parts) {
    const [, node, seq, taken] = /^([0-9a-f-]+)\.([0-9a-z]{1,10})\.(\d{1,3})$/.exec(part) ?? []
    if (node === undefined) return undefined
    found.set(node, [Number.parseInt(seq!, 36), Number(taken)])
  }
  return positionText(found) === text ? found : undefined
}

/** Whether a place lies behind a position. */
export const isAfter = (place: readonly [number, number], p: readonly [number, number] | undefined): boolean =>
  p === undefined || place[0] > p[0] || (place[0] === p[0] && place[1] > p[1])
