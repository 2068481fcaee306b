/** The times of the files, shortened for this run through the variables the files name; what they say by default stays as it is. */
import { resolve } from 'node:path'
import type { Variables } from '../children.ts'
import { plain, ROOT } from '../stage.ts'

export const EXAMPLE = resolve(ROOT, 'examples/aws-event-pipeline')
export const SCOPE = 'namespace=iot&tenant=smartbuilding-hq'
/** Longer than a slow machine takes to send the burst: else the first of it leave the window before the last has come. */
export const THROTTLE_WINDOW_SECONDS = 12

const SHORT = {
  HUMIDITY_WAIT_SECONDS: '3',
  ENERGY_DELAY_SECONDS: '4',
  DEDUP_TTL_SECONDS: '20',
  THROTTLE_WINDOW_SECONDS: String(THROTTLE_WINDOW_SECONDS),
  HEARTBEAT_CRON: '*/3 * * * * *',
  BREAKER_RECOVERY_SECONDS: '20',
  DETECTOR_RECOVERY_SECONDS: '20',
  ALERTS_RECOVERY_SECONDS: '20',
  GROUP_FLUSH_INTERVAL_SECONDS: '1',
  RECURRING_CHECK_INTERVAL_SECONDS: '1',
  TIMEOUT_CHECK_INTERVAL_SECONDS: '1',
  CLEANUP_INTERVAL_SECONDS: '2',
  RETENTION_CHECK_INTERVAL_SECONDS: '2',
}

/** Of every process of the run. */
export const variables = (more: Variables): Variables => ({ ...plain(), ...SHORT, ...more })
