const MS = { W: 604_800_000, D: 86_400_000, H: 3_600_000, M: 60_000, S: 1000 } as const
const DURATION = /^P(?:(\d+)W|(?:(\d+)D)?(?:T(?=\d)(?:(\d+)H)?(?:(\d+)M)?(?:(\d+(?:\.\d{1,3})?)S)?)?)$/
const LONGEST_MS = 366 * MS.D

/** The longest that anything waits, counts or is held. Seconds. */
export const YEAR_SECONDS = 31_536_000
/** The longest that what has ended is kept, unless it is kept for ever. Seconds. */
export const CENTURY_SECONDS = 100 * YEAR_SECONDS
/** The last moment that is written with a year of four digits. Milliseconds. */
export const LAST_MOMENT = Date.UTC(9999, 11, 31, 23, 59, 59, 999)

/**
 * Milliseconds of an ISO 8601 duration (`PT1M`, `P1DT12H`, `PT0.5S`), or what is wrong with it. Years and months are refused: how long
 * they are depends on when they begin.
 */
export function parseDuration(text: string): number | string {
  if (/^P[\d.]*Y|^P(?:[\d.]+Y)?[\d.]+M/.test(text)) return 'has years or months, whose length varies; say it in days'
  const [, w, d, h, m, s] = DURATION.exec(text) ?? []
  if ([w, d, h, m, s].every((part) => part === undefined))
    return 'is no ISO 8601 duration such as "PT30S", "PT1M", "PT1H30M" or "P1D"'
  const of = (part: string | undefined, unit: keyof typeof MS): number => Number(part ?? 0) * MS[unit]
  const ms = Math.round(of(w, 'W') + of(d, 'D') + of(h, 'H') + of(m, 'M') + of(s, 'S'))
  if (ms === 0) return 'is no time at all'
  return ms <= LONGEST_MS ? ms : 'is longer than a year'
}
