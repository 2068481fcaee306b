/** More than the limit lets through: some are throttled, told when to come again, and pass when they do. */
import type { Row as Data } from '../../api.ts'
import { holds, type Row, same } from '../../table.ts'
import { answersIn } from './sent.ts'

export const BURST = 31
const LIMIT = 30

/** Its records: those that were not there before. */
function burstOf(before: readonly Data[], audit: readonly Data[]): readonly Data[] {
  const known = new Set(before.map((r) => r['id']))
  return audit.filter((r) => r['action_type'] === 'status_report' && !known.has(r['id']))
}
export const deliveredOf = (before: readonly Data[], audit: readonly Data[]): number =>
  burstOf(before, audit).filter((r) => r['outcome'] === 'executed').length

export function burstRows(
  out: string,
  before: readonly Data[],
  audit: readonly Data[],
  windowSeconds: number,
): readonly Row[] {
  const [first = [], again = []] = [answersIn(out).slice(0, BURST), answersIn(out).slice(BURST)]
  const throttled = first.filter((a) => a === '429 throttled').length
  const refusal = burstOf(before, audit)
    .filter((r) => r['outcome'] === 'throttled')
    .at(-1)
  const told = Number(/throttled .*\(Retry-After: (\d+)\)/.exec(out)?.[1])
  const due = dueSeconds(refusal, audit, windowSeconds)
  return [
    same('Burst: admitted and throttled', BURST, first.filter((a) => a === '200 executed').length + throttled),
    holds('Burst: throttled at first', '1 or more', throttled, throttled >= 1),
    // Whole seconds, rounded up; the clocks of the records are a little apart from the limiter's.
    holds(
      'Burst: Retry-After is when the next may pass',
      `${due.toFixed(1)} s`,
      `${told} s`,
      told - due > -0.3 && told - due < 1.3,
    ),
    same(
      'Burst: sent again as told',
      `${throttled} × 200 executed`,
      `${again.filter((a) => a === '200 executed').length} × 200 executed`,
    ),
    same('Burst: the first to come again passes', '200 executed', again[0] ?? 'none came'),
    same('Burst: delivered in the end', BURST, deliveredOf(before, audit)),
  ]
}

/** From the refusal to the moment the oldest of the last `LIMIT` admitted leaves the window. */
function dueSeconds(refusal: Data | undefined, audit: readonly Data[], windowSeconds: number): number {
  const time = (r: Data): number => Date.parse(String(r['received_at']))
  const refusedAt = refusal ? time(refusal) : Number.NaN
  const admitted = audit.filter(
    (r) =>
      (r['kind'] === 'dispatch' || r['kind'] === 'occurrence') &&
      ADMITTED.has(String(r['outcome'])) &&
      time(r) <= refusedAt,
  )
  const oldest = admitted.map(time).sort((a, b) => b - a)[LIMIT - 1] ?? Number.NaN
  return (oldest + windowSeconds * 1000 - refusedAt) / 1000
}
const ADMITTED = new Set(['executed', 'rerouted', 'chain_started', 'grouped', 'scheduled'])
