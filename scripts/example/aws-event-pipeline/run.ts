/** The smart-building pipeline from setup to teardown, on real processes, with a look at all that comes out of it. */
import { createServer } from 'node:net'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { type Api, openApi } from '../api.ts'
import { type Finished, runScript, type Server, startServer, type Variables } from '../children.ts'
import { exited, ROOT, say, serve, until } from '../stage.ts'
import { type Store, stores } from '../stores.ts'
import { type Row, same } from '../table.ts'
import { arrivedRows } from './checks/arrived.ts'
import { BURST, burstRows, deliveredOf } from './checks/burst.ts'
import { fallbackRows, loggedIn, statuses } from './checks/fallbacks.ts'
import { auditOf, HELD, heldIn, occurrencesIn, recordRows } from './checks/records.ts'
import { sentRows } from './checks/sent.ts'
import { type Inboxes, openInboxes } from './inboxes.ts'
import { EXAMPLE, SCOPE, THROTTLE_WINDOW_SECONDS, variables } from './settings.ts'

const HELD_MS = 40_000
/** The quota's window is the hour, and must not turn while we count. */
const HOUR_MS = 3_600_000
const RUN_MS = 60_000

const script = (name: string, env: Variables, ...args: readonly string[]): Promise<Finished> => {
  say([`${name}.sh`, ...args].join(' '))
  return runScript(join(EXAMPLE, 'scripts', `${name}.sh`), args, env)
}

/** As the files have it. */
const STATE = 'dynamodb'

/** An address where nobody listens. */
async function closedPort(): Promise<string> {
  const server = createServer()
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const address = server.address()
  await new Promise((resolve) => server.close(resolve))
  return `http://127.0.0.1:${typeof address === 'object' && address ? address.port : 1}`
}

async function pipeline(env: Variables, server: Server, inboxes: Inboxes): Promise<readonly Row[]> {
  const mine = { ...env, SIGNALBOX_URL: `http://${server.at}` }
  const api = openApi(`http://${server.at}`)
  const rows: Row[] = [
    exited('setup-api.sh', await script('setup-api', mine)),
    exited('setup-api.sh, again', await script('setup-api', mine)),
  ]
  const sent = await script('send-telemetry', mine)
  // The burst is to meet the limit by itself.
  const forgotten = sleep(THROTTLE_WINDOW_SECONDS * 1000)
  rows.push(exited('send-telemetry.sh', sent), ...sentRows(sent.out))

  say(`waiting for ${HELD}`)
  await until(
    () => auditOf(api),
    (audit) => heldIn(audit) === HELD && occurrencesIn(audit) > 1,
    HELD_MS,
  )
  await api.post(`/v1/recurring/device-heartbeat/pause?${SCOPE}`)
  const audit = await settled(api)
  rows.push(same('Held work that has ended', HELD, heldIn(audit)))
  rows.push(...(await arrivedRows(inboxes, occurrencesIn(audit))), ...(await recordRows(api, audit, server.log)))

  const report = await script('show-report', mine)
  await forgotten
  const burst = await script('send-telemetry', mine, '--burst', String(BURST))
  rows.push(exited('show-report.sh', report), exited('send-telemetry.sh --burst', burst))
  // Records of an audit in another place than the state come some moments later.
  const after = await until(
    () => auditOf(api),
    (now) => deliveredOf(audit, now) === BURST,
    5000,
  )
  rows.push(...burstRows(burst.out, audit, after, THROTTLE_WINDOW_SECONDS))
  rows.push(same('Burst: in the queue', BURST, (await inboxes.metrics()).length))
  return rows
}

/** The audit once every occurrence that was counted has ended. */
async function settled(api: Api) {
  const { execution_count } = await api.get(`/v1/recurring/device-heartbeat?${SCOPE}`)
  return until(
    () => auditOf(api),
    (audit) => occurrencesIn(audit) === execution_count,
    HELD_MS,
  )
}

async function fallbacks(env: Variables, stored: readonly string[], inboxes: Inboxes): Promise<readonly Row[]> {
  say('a gateway that reaches neither topic nor detector')
  const away = await closedPort()
  const broken = ['alert-fanout', 'anomaly-detector'].map((name) => `providers.${name}.aws_endpoint_url=${away}`)
  const server = await serve(EXAMPLE, env, [...stored, ...broken])
  const mine = { ...env, SIGNALBOX_URL: `http://${server.at}` }
  const api = openApi(`http://${server.at}`)
  const critical = await script('send-telemetry', mine, '--only', 'critical')
  const temperature = await script('send-telemetry', mine, '--only', 'temperature')
  await until(
    () => statuses(api),
    (all) => all.length > 0 && all.every((s) => s === 'completed' || s === 'failed'),
    HELD_MS,
  )
  // The log is written in blocks.
  await until(
    async () => loggedIn(server.log).length,
    (lines) => lines >= 2,
    5000,
  )
  const out = { critical: critical.out, temperature: temperature.out }
  const rows = [
    ...(await fallbackRows(out, api, server.log, inboxes)),
    same('This gateway ends with', 0, await server.stop()),
  ]
  return rows
}

async function teardown(env: Variables, server: Server, inboxes: Inboxes): Promise<readonly Row[]> {
  await inboxes.close()
  const mine = { ...env, SIGNALBOX_URL: `http://${server.at}` }
  const first = await script('teardown', mine)
  const second = await script('teardown', mine, '--keep-aws')
  return [
    exited('teardown.sh', first),
    exited('teardown.sh, again', second),
    same('Left in AWS', '', (await inboxes.leftovers()).join(', ')),
    same('Gateway ends with', 0, await server.stop()),
  ]
}

/** `folder`: for what the gateways store in files. */
export async function run(folder: string, state = STATE): Promise<readonly Row[]> {
  const left = HOUR_MS - (Date.now() % HOUR_MS)
  if (left < RUN_MS) {
    say(`waiting ${Math.ceil(left / 1000)} s for the next hour: the quota is counted by it`)
    await sleep(left)
  }
  const aws = await startServer([join(ROOT, 'scripts/local-aws/main.ts')], variables({ PORT: '0' }))
  const env = variables({ AWS_ENDPOINT_URL: aws.at })
  const setup = await script('setup', env)
  if (setup.code !== 0) throw new Error(`setup.sh ended with ${setup.code}`)
  const inboxes = await openInboxes(aws.at)
  const store: Store = await stores[state]!(aws.at)
  const server = await serve(EXAMPLE, env, store.settings('pipeline', folder))
  const rows = [...(await pipeline(env, server, inboxes))]
  rows.push(...(await fallbacks(env, store.settings('fallbacks', folder), inboxes)))
  rows.push(...(await teardown(env, server, inboxes)))
  await store.stop()
  await aws.stop()
  return rows
}
