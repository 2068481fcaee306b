const RFC3339 = /^(\d{4})-(\d{2})-(\d{2})[Tt](?:[01]\d|2[0-3]):\d{2}:\d{2}(\.\d+)?([Zz]|[+-]\d{2}:\d{2})$/

/** A date and time of RFC 3339 that there is: the parser takes the 30th of February for the 2nd of March. */
export function isMoment(text: string): boolean {
  const [, year, month, day] = RFC3339.exec(text) ?? []
  if (day === undefined || Number.isNaN(Date.parse(text))) return false
  return Number(day) <= new Date(Date.UTC(Number(year), Number(month), 0)).getUTCDate()
}
