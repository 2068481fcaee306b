/** What was expected beside what was seen. */
export interface Row {
  readonly what: string
  readonly expected: string
  readonly seen: string
  readonly ok: boolean
}

const shown = (value: unknown): string => (typeof value === 'string' ? value : JSON.stringify(value)) ?? 'undefined'

/** The two must read the same. */
export function same(what: string, expected: unknown, seen: unknown): Row {
  const row = { what, expected: shown(expected), seen: shown(seen) }
  return { ...row, ok: row.expected === row.seen }
}
/** For what no single value says: `expected` is the condition in words. */
export const holds = (what: string, expected: string, seen: unknown, ok: boolean): Row => ({
  what,
  expected,
  seen: shown(seen),
  ok,
})

const WIDTH = 46
const cut = (text: string): string => (text.length > WIDTH ? `${text.slice(0, WIDTH - 1)}…` : text)

/** A line for each row; what differs is written out below, uncut. */
export function table(rows: readonly Row[]): string {
  const head = ['', 'WHAT', 'EXPECTED', 'SEEN']
  const lines = [head, ...rows.map((r) => [r.ok ? 'ok' : 'NO', r.what, cut(r.expected), cut(r.seen)])]
  const widths = head.map((_, i) => Math.max(...lines.map((l) => l[i]?.length ?? 0)))
  const text = lines.map((l) =>
    l
      .map((cell, i) => cell.padEnd(widths[i] ?? 0))
      .join('  ')
      .trimEnd(),
  )
  const wrong = rows.filter((r) => !r.ok).map((r) => `\n${r.what}\n  expected  ${r.expected}\n  seen      ${r.seen}`)
  return [...text, ...wrong].join('\n')
}

/** How often each value occurs, by name: `3 × a, 1 × b`. */
export function tally(values: readonly string[]): string {
  const counts = new Map<string, number>()
  for (const v of values) counts.set(v, (counts.get(v) ?? 0) + 1)
  return [...counts]
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([v, n]) => `${n} × ${v}`)
    .join(', ')
}
