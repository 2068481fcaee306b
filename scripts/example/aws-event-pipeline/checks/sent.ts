/** What send-telemetry.sh was answered, kind by kind. */
import { type Row, same, tally } from '../../table.ts'

const KINDS: readonly (readonly [what: string, count: number, answers: string])[] = [
  ['Critical temperatures', 2, '2 × 200 rerouted'],
  ['Intrusions', 2, '2 × 200 rerouted'],
  ['Ordinary temperatures', 3, '3 × 202 chain_started'],
  ['Humidity readings', 3, '3 × 202 grouped'],
  ['Energy readings', 2, '2 × 202 scheduled'],
  ['Rapid-fire readings', 3, '3 × 202 chain_started'],
  ['A reading sent twice', 2, '1 × 200 deduplicated, 1 × 202 chain_started'],
  ['Test devices', 2, '2 × 200 suppressed'],
  ['A device in service', 1, '1 × 200 rerouted'],
  ['Unsigned firmware', 1, '1 × 403 denied'],
]
export const EVENTS = KINDS.reduce((n, [, count]) => n + count, 0)

/** `status outcome` of each line that tells of an event. */
export const answersIn = (out: string): readonly string[] =>
  [...out.matchAll(/ → (\d{3}) (\w+)/g)].map((m) => `${m[1]} ${m[2]}`)

export function sentRows(out: string): readonly Row[] {
  const answers = answersIn(out)
  let from = 0
  const rows = KINDS.map(([what, count, expected]) => {
    const mine = answers.slice(from, from + count)
    from += count
    return same(what, expected, tally(mine))
  })
  return [same('Events sent', EVENTS, answers.length), ...rows]
}
