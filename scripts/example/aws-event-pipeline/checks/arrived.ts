/** What AWS really received. */
import { at, type Row as Data } from '../../api.ts'
import { holds, type Row, same, tally } from '../../table.ts'
import type { Inboxes } from '../inboxes.ts'

const ENRICHED = '2.0.0 main-campus'
const sorted = (values: readonly unknown[]): string => values.map(String).sort().join(', ')
const enrichment = (payload: unknown): string =>
  `${String(at(payload, 'pipeline_version'))} ${String(at(payload, 'building_zone'))}`

export async function arrivedRows(inboxes: Inboxes, occurrences: number): Promise<readonly Row[]> {
  return [
    ...alertRows(await inboxes.alerts()),
    ...eventRows(await inboxes.events(), occurrences),
    ...metricRows(await inboxes.metrics()),
    ...(await functionRows(inboxes)),
    ...mailRows(await inboxes.mails()),
    same('Dead-letter queue', 0, (await inboxes.deadLetters()).length),
  ]
}

function alertRows(alerts: readonly Data[]): readonly Row[] {
  const devices = ['motion-gate-e', 'motion-roof', 'temp-boiler-1', 'temp-kitchen-1', 'temp-server-1']
  const found = alerts.find((a) => a['severity'] === 'critical')
  return [
    same('SNS: who raised an alert', devices.join(', '), sorted(alerts.map((a) => a['device_id']))),
    same('SNS: what the detector found', '47.5 is outside 5 to 40', found?.['finding']),
    same('SNS: a number stays a number', 47.5, found?.['value']),
  ]
}

function eventRows(events: readonly Data[], occurrences: number): readonly Row[] {
  const of = (type: string) => events.filter((e) => e['detail-type'] === type)
  const beats = of('device_heartbeat_check')
  const [critical] = of('CriticalAlert')
  const role = 'arn:aws:iam::000000000000:role/device-provisioning'
  const types = ['1 × CriticalAlert', `${occurrences} × device_heartbeat_check`, '1 × device_lifecycle']
  const rounds = beats.map((b) => Number(at(b, 'detail', 'round'))).sort((a, b) => a - b)
  return [
    same('EventBridge: what was put', types.join(', '), tally(events.map((e) => String(e['detail-type'])))),
    same(
      'EventBridge: the critical alert',
      'signalbox.iot temp-kitchen-1',
      `${critical?.['source']} ${at(critical, 'detail', 'device_id')}`,
    ),
    same('EventBridge: what is hidden was sent', role, at(of('device_lifecycle')[0], 'detail', 'aws_role_arn')),
    holds(
      'Heartbeats, enriched',
      ENRICHED,
      tally(beats.map((b) => enrichment(b['detail']))),
      beats.every((b) => enrichment(b['detail']) === ENRICHED),
    ),
    holds(
      'Heartbeats, each round once',
      'all different',
      rounds,
      new Set(rounds).size === rounds.length && rounds.length > 0,
    ),
  ]
}

function metricRows(messages: readonly Data[]): readonly Row[] {
  const groups = messages.filter((m) => m['events'] !== undefined)
  const archived = messages.filter((m) => m['events'] === undefined)
  const floors = groups
    .map((g) => {
      const events = g['events'] as readonly Data[]
      return `floor ${at(g, 'labels', 'floor')}: ${sorted(events.map((e) => `${at(e, 'payload', 'device_id')} ${at(e, 'payload', 'value')}`))}`
    })
    .sort()
  const line = (m: Data): string => {
    const [raw, metric] = [`${m['value']}${m['unit']}`, `${at(m, 'normalized', 'value')}${at(m, 'normalized', 'unit')}`]
    return `${m['device_id']} ${raw}${metric === raw ? '' : ` = ${metric}`}${m['anomaly'] === true ? ' anomaly' : ''}`
  }
  const readings = [
    'meter-a 132kWh',
    'meter-b 87500Wh = 87.5kWh',
    'motion-canteen 41people',
    'motion-canteen 42people',
    'motion-canteen 43people',
    'temp-hall 20.9°C',
    'temp-kitchen-1 47.5°C anomaly',
    'temp-lobby 21.5°C',
    'temp-office-3 71.6°F = 22°C',
  ]
  return [
    same(
      'SQS: humidity by floor',
      'floor 2: hum-2-north 41, hum-2-south 44; floor 5: hum-5-north 58',
      floors.join('; '),
    ),
    same('SQS: groups, enriched', `2 × ${ENRICHED}`, tally(groups.map(enrichment))),
    same('SQS: archived by the chain', readings.join(', '), sorted(archived.map(line))),
    same(
      'SQS: the released energy readings',
      '2',
      String(archived.filter((m) => m['sensor_type'] === 'energy').length),
    ),
  ]
}

async function functionRows(inboxes: Inboxes): Promise<readonly Row[]> {
  const rows: Row[] = []
  for (const name of ['telemetry-normalizer', 'anomaly-detector']) {
    const calls = await inboxes.invocations(name)
    const tokens = new Set(calls.map((c) => at(c, 'client_context', 'custom', 'signalbox_token')))
    rows.push(
      same(
        `Lambda: calls of ${name}`,
        '9, 9 tokens, 0 errors',
        `${calls.length}, ${tokens.size} tokens, ${calls.filter((c) => c['error'] !== undefined).length} errors`,
      ),
    )
  }
  const anomalies = (await inboxes.invocations('anomaly-detector')).filter((c) => at(c, 'result', 'anomaly') === true)
  rows.push(
    same('Lambda: anomalies found', 'temp-kitchen-1', sorted(anomalies.map((c) => at(c, 'payload', 'device_id')))),
  )
  return rows
}

function mailRows(mails: readonly Data[]): readonly Row[] {
  const subject = /^Subject: (.*(?:\r?\n[ \t].*)*)/m.exec(String(mails[0]?.['RawData']))?.[1] ?? ''
  return [
    same(
      'SES: mails',
      'facilities@smartbuilding.example.com',
      mails.flatMap((m) => at(m, 'Destination', 'ToAddresses')).join(', '),
    ),
    same('SES: the subject', 'temp-boiler-1 reports 98.4 °C', decoded(subject)),
  ]
}

/** RFC 2047: `=?UTF-8?Q?…?=` and its base64 twin. */
const decoded = (header: string): string =>
  header.replace(/\?=\s+=\?/g, '?==?').replace(/=\?utf-8\?([qb])\?(.*?)\?=/gi, (_match, by: string, text: string) =>
    by.toLowerCase() === 'b'
      ? Buffer.from(text, 'base64').toString()
      : decodeURIComponent(
          text
            .replaceAll('%', '%25')
            .replaceAll('_', ' ')
            .replace(/=([0-9A-F]{2})/gi, '%$1'),
        ),
  )
