import { expect, test } from 'vitest'
import { needsRestart } from '../../../src/app/config/changes.ts'
import { CONSOLE, readText } from './read.ts'

const config = (...set: string[]) => readText(`${CONSOLE}[server]\nport = 1\n`, { set }).config!

test.each([
  [[], []],
  [
    [
      'providers.console.max_retries=9',
      'circuit_breaker.failure_threshold=2',
      'background.enabled=false',
      'hot_rules.mode=off',
    ],
    [],
  ],
  [['audit.redact.fields=["x"]'], []],
  [['audit.store_payload=false'], ['audit']],
  [
    ['server.port=2', 'state.path=x', 'quotas.enabled=false'],
    ['server', 'state', 'audit', 'quotas'],
  ],
  [['rules.default_provider=console', 'dead_letters.forward_to=console', 'executor.max_retries=1'], []],
  [['executor.timeout_seconds=1', 'executor.max_concurrent=1'], []],
  [['rules.default_timezone=Europe/Berlin'], ['rules']],
  [
    ['executor.deadline_seconds=1', 'dead_letters.ttl_seconds=1'],
    ['executor', 'dead_letters'],
  ],
])('an edit of %j needs a restart for %j', (set, sections) => {
  expect(needsRestart(config(), config(...set))).toEqual(sections)
})
