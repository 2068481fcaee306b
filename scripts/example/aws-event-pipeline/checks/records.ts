/** What the gateway says of it afterwards: audit, executions, quota, and what nobody may read there. */
import type { Api, Row as Data } from '../../api.ts'
import { at } from '../../api.ts'
import { holds, type Row, same, tally } from '../../table.ts'
import { SCOPE } from '../settings.ts'

/** In the audit once all held work is done; heartbeats, of which nobody knows how many there will be, are left out. */
const AUDIT = [
  '10 × chain completed',
  '30 × chain_step step_completed',
  '1 × copy executed',
  '7 × dispatch chain_started',
  '1 × dispatch deduplicated',
  '1 × dispatch denied',
  '3 × dispatch grouped',
  '5 × dispatch rerouted',
  '2 × dispatch scheduled',
  '2 × dispatch suppressed',
  '2 × flush executed',
  '2 × release chain_started',
]
/** 21 events, less 2 suppressed, 1 denied and 1 duplicate. */
const COUNTED = 17

export const auditOf = (api: Api): Promise<readonly Data[]> => api.all(`/v1/audit?${SCOPE}`, 'records')
export const occurrencesIn = (audit: readonly Data[]): number => audit.filter((r) => r['kind'] === 'occurrence').length

/** How many of what is held have ended: when it is this many, all has. */
export const HELD = '1 copy, 2 flushes, 2 releases, 10 executions'
export function heldIn(audit: readonly Data[]): string {
  const count = (kind: string) => audit.filter((r) => r['kind'] === kind).length
  return `${count('copy')} copy, ${count('flush')} flushes, ${count('release')} releases, ${count('chain')} executions`
}

export async function recordRows(api: Api, audit: readonly Data[], log: readonly string[]): Promise<readonly Row[]> {
  const occurrences = audit.filter((r) => r['kind'] === 'occurrence')
  const copies = audit.filter((r) => r['kind'] === 'copy').length
  const known = audit.filter((r) => r['kind'] !== 'occurrence')
  const seen = tally(known.map((r) => `${String(r['kind'])} ${String(r['outcome'])}`)).split(', ')
  const usage = await api.get(`/v1/quotas/hourly-telemetry/usage?${SCOPE}`)
  const recurring = await api.get(`/v1/recurring/device-heartbeat?${SCOPE}`)
  const chains = await api.all(`/v1/chains?${SCOPE}`, 'chains')
  const retention = await api.get(`/v1/retention?${SCOPE}`)
  return [
    ...AUDIT.map((line) => same('Audit', line, seen.find((s) => s.endsWith(line.slice(line.indexOf('×')))) ?? 'none')),
    same(
      'Audit: nothing else',
      '',
      seen.filter((s) => !AUDIT.some((l) => s.endsWith(l.slice(l.indexOf('×'))))).join(', '),
    ),
    same(
      'Audit: occurrences',
      `${String(recurring['execution_count'])} × executed`,
      tally(occurrences.map((r) => String(r['outcome']))),
    ),
    same(
      'Executions',
      '1 × critical-alert completed, 9 × telemetry-processing completed',
      tally(chains.map((c) => `${String(c['chain_name'])} ${String(c['status'])}`)),
    ),
    same(
      `Quota: ${COUNTED} events, ${copies} copy, ${occurrences.length} heartbeats`,
      COUNTED + copies + occurrences.length,
      usage['used'],
    ),
    same(
      'Retention: audit, events',
      [604_800, 172_800],
      [at(retention, 'retention', 0, 'audit_ttl_seconds'), at(retention, 'retention', 0, 'event_ttl_seconds')],
    ),
    ...(await redactionRows(api, audit, chains, log)),
  ]
}

const HIDDEN: readonly (readonly [field: string, value: RegExp])[] = [
  ['aws_role_arn', /role\/device-provisioning/],
  ['function_arn', /:function:[a-z-]+/],
  ['queue_url', /000000000000\/telemetry-metrics/],
]

async function redactionRows(api: Api, audit: readonly Data[], chains: readonly Data[], log: readonly string[]) {
  const views = await Promise.all(chains.map((c) => api.get(`/v1/chains/${String(c['chain_id'])}?${SCOPE}`)))
  const read = JSON.stringify([audit, views])
  return HIDDEN.flatMap(([field, value]) => {
    const places = read.split(`"${field}":"[REDACTED]"`).length - 1
    const leaks = [...read.matchAll(new RegExp(value, 'g')), ...log.filter((line) => value.test(line))].length
    return [
      holds(`Redaction: ${field}`, 'hidden wherever it stands', `hidden in ${places} places`, places > 0),
      same(`Redaction: ${field} to be read in audit, chains, log`, 0, leaks),
    ]
  })
}
