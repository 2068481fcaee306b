/** A gateway that reaches neither the detector nor the topic. */
import { type Api, at, type Row as Data } from '../../api.ts'
import { holds, type Row, same, tally } from '../../table.ts'
import type { Inboxes } from '../inboxes.ts'
import { SCOPE } from '../settings.ts'
import { answersIn } from './sent.ts'

const BROKEN = ['alert-fanout', 'anomaly-detector']

export async function fallbackRows(
  out: { readonly critical: string; readonly temperature: string },
  api: Api,
  log: readonly string[],
  inboxes: Inboxes,
): Promise<readonly Row[]> {
  const lines = out.critical.split('\n').filter((l) => l.includes(' → '))
  const breakers = await api.all(`/v1/circuit-breakers?`, 'circuit_breakers')
  const state = (name: string): string => {
    const b = breakers.find((x) => x['provider'] === name)
    return `${name} ${String(b?.['state'])} after ${String(b?.['failures'])}`
  }
  const health = await api.all('/v1/providers/health?', 'providers')
  const attempts = Number(health.find((p) => p['provider'] === 'alert-fanout')?.['attempts'])
  const letters = await inboxes.deadLetters()
  const archived = await inboxes.metrics()
  return [
    same('Topic away: alerts answered', '2 × 200 rerouted', tally(answersIn(out.critical))),
    same(
      'Topic away: the reason given',
      2,
      lines.filter((l) => l.includes('circuit_open') && l.includes('to local-fallback')).length,
    ),
    same('Topic away: written to the log instead', 'temp-boiler-1, temp-server-1', devices(loggedIn(log))),
    same('Topic away: tried', 2, attempts),
    same('Topic away: SNS received', 0, (await inboxes.alerts()).length),
    same('Detector away: readings answered', '3 × 202 chain_started', tally(answersIn(out.temperature))),
    same('Detector away: in the dead-letter queue', 'temp-kitchen-1, temp-lobby, temp-office-3', devices(letters)),
    same('Detector away: archived all the same', 'temp-kitchen-1, temp-lobby, temp-office-3', devices(archived)),
    ...BROKEN.map((name) => breakerRow(state(name), name)),
    same('Detector away: executions', '3 × completed', tally(await statuses(api))),
  ]
}

/** Attempts that were already under way when the breaker opened may be counted with the two that opened it. */
const breakerRow = (seen: string, name: string): Row =>
  holds(`Breaker of ${name}`, 'open after 2 failures', seen, /open after [2-4]$/.test(seen))

/** The payloads the log provider has written. */
export const loggedIn = (log: readonly string[]): readonly unknown[] =>
  log
    .filter((l) => l.includes('"provider":"local-fallback"') && l.includes('"msg":"action"'))
    .map((l) => at(JSON.parse(l), 'payload'))

const devices = (payloads: readonly unknown[]): string =>
  payloads
    .map((p) => String(at(p, 'device_id')))
    .sort()
    .join(', ')

export async function statuses(api: Api): Promise<readonly string[]> {
  const chains: readonly Data[] = await api.all(`/v1/chains?${SCOPE}`, 'chains')
  return chains.map((c) => String(c['status']))
}
