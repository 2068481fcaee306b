import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'

/** Every code a problem may have, with its status: callers branch on them, so that one is added here before it is used, and none changes. */
const CODES = {
  already_exists: [409],
  batch_too_large: [400],
  being_redriven: [409],
  being_released: [409],
  body_too_large: [413],
  chain_compensated: [409],
  chain_disabled: [409],
  chain_ended: [409],
  chain_ending: [409],
  chain_in_file: [409],
  chain_in_use: [409],
  chain_moved_on: [409],
  chain_not_failed: [409],
  chain_not_paused: [409],
  chain_paused: [409],
  chain_running: [409],
  chain_unknown: [409],
  contention: [503],
  expectation_failed: [417],
  headers_too_large: [431],
  host_refused: [403],
  idempotency_in_progress: [409],
  idempotency_mismatch: [422],
  inbox_full: [409],
  incomplete_body: [400],
  internal: [500],
  invalid_action: [400],
  invalid_batch: [400],
  invalid_chain: [422],
  invalid_cursor: [400],
  invalid_idempotency_key: [400],
  invalid_if_match: [400],
  invalid_json: [400],
  invalid_number: [400],
  invalid_path: [400],
  invalid_query: [400],
  invalid_request: [400],
  invalid_utf8: [400],
  method_not_allowed: [405],
  not_found: [404],
  not_ready: [503],
  not_supported: [501],
  origin_refused: [403],
  payload_redacted: [409],
  placeholder_in_body: [422],
  precondition_failed: [412],
  provider_required: [422],
  provider_unknown: [422],
  recurring_limit: [409],
  request_timeout: [408],
  rules_invalid: [422],
  step_not_taken: [409],
  state_unavailable: [503],
  state_unknown: [503],
  superseded: [409],
  too_deep: [400],
  too_large_to_store: [413],
  too_many_streams: [503],
  too_many_failed: [409],
  unexpected_body: [400],
  unknown_route: [404],
  unknown_step: [422],
  unsupported_encoding: [415],
  unsupported_media_type: [415],
  version_mismatch: [412],
}

test('every problem of the sources has a code of the table with its status, and every code is used', () => {
  const root = new URL('../../src/', import.meta.url).pathname
  const sources = readdirSync(root, { recursive: true, encoding: 'utf8' }).filter((f) => f.endsWith('.ts'))
  const found: { [code: string]: number[] } = {}
  for (const file of sources)
    for (const [, status, code] of readFileSync(join(root, file), 'utf8').matchAll(
      /new Problem\(\s*(\d{3}),\s*'(\w+)'/g,
    )) {
      found[code!] ??= []
      if (!found[code!]!.includes(Number(status))) found[code!]!.push(Number(status))
    }
  expect(Object.fromEntries(Object.entries(found).sort())).toEqual(CODES)
})
