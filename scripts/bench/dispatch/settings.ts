import { cpSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { gatewayFile } from '../gateway-file.ts'

/** The example's 14 rules, with a limit nobody reaches so that each request is delivered. */
export function writeGateway(dir: string, opts: { readonly store: string; readonly target: string }): string {
  const rules = join(dir, 'rules')
  mkdirSync(rules, { recursive: true })
  cpSync(resolve(import.meta.dirname, '../../../test/fixtures/guide/rules'), rules, {
    recursive: true,
    filter: (f) => !f.endsWith('.txt'),
  })
  const processing = join(rules, 'processing.yaml')
  writeFileSync(processing, readFileSync(processing, 'utf8').replace(/max_count: \d+/, 'max_count: 1000000000'))
  const others = ['event-bus', 'metrics-queue']
    .map((name) => `[[providers]]\nname = "${name}"\ntype = "log"\n`)
    .join('\n')
  return gatewayFile(
    dir,
    opts.store,
    `[[providers]]
name = "alert-fanout"
${opts.target}

${others}
[[chains.definitions]]
name = "telemetry-processing"
[[chains.definitions.steps]]
name = "archive"
provider = "metrics-queue"
action_type = "send_message"
`,
  )
}

/** Meets dedup and throttle, then the reroute rule: delivered each time, as its id is its own. */
export const BODY = JSON.stringify({
  namespace: 'iot',
  tenant: 'smartbuilding-hq',
  provider: 'alert-fanout',
  action_type: 'sensor_reading',
  id: 'N',
  payload: { sensor_type: 'temperature', device_id: 'temp-01', value: 95, unit: 'celsius', floor: 3 },
})

export const QUOTA = {
  namespace: 'iot',
  tenant: 'smartbuilding-hq',
  max_actions: 1_000_000_000,
  window: 'hourly',
  overage_behavior: 'block',
}
