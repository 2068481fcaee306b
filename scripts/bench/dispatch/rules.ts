import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Action } from '../../../src/core/action.ts'
import { systemClock } from '../../../src/core/clock.ts'
import type { Env } from '../../../src/core/env.ts'
import { systemRandom, uuidv7Source } from '../../../src/core/ids.ts'
import type { Control } from '../../../src/core/state.ts'
import { readLimit } from '../../../src/rules/limits.ts'
import { openRules, type Rules } from '../../../src/rules/rules.ts'
import { sqlite } from '../gateway-file.ts'
import { BODY, writeGateway } from './settings.ts'

/** Microseconds a evaluation: the example's 14 rules, and 10 and 10,000 that differ in one equality. */
export async function measureRules(): Promise<{
  readonly guide: number
  readonly ten: number
  /** The same actions, so that only the number of rules differs. */
  readonly tenThousand: number
  /** 1,000 actions that each meet another rule: what the processor's caches make of it. */
  readonly spread: number
}> {
  const dir = mkdtempSync(join(tmpdir(), 'signalbox-bench-'))
  try {
    writeGateway(dir, { store: sqlite('full'), target: 'type = "log"' })
    const guide = await open(join(dir, 'rules'))
    const action: Action = { ...(JSON.parse(BODY) as Action), metadata: {}, created_at: new Date(0).toISOString() }
    const ten = await open(many(join(dir, 'ten'), 10))
    const tenThousand = await open(many(join(dir, 'ten-thousand'), 10_000))
    const device = (n: number): Action => ({ ...action, payload: { ...action.payload, device_id: `device-${n}` } })
    const few = Array.from({ length: 1000 }, (_, i) => device(i % 10))
    const spread = Array.from({ length: 1000 }, (_, i) => device(i * 10))
    return {
      guide: perEvaluation(guide, [action]),
      ten: perEvaluation(ten, few),
      tenThousand: perEvaluation(tenThousand, few),
      spread: perEvaluation(tenThousand, spread),
    }
  } finally {
    rmSync(dir, { recursive: true })
  }
}

function many(dir: string, n: number): string {
  mkdirSync(dir)
  const rule = (i: number): string =>
    `  - name: r${i}\n    priority: ${i}\n    condition: { all: [ { field: action.payload.device_id, eq: device-${i} }, { field: action.payload.value, gt: 1 } ] }\n    action: { type: reroute, target_provider: alert-fanout }\n`
  writeFileSync(join(dir, 'rules.yaml'), `rules:\n${Array.from({ length: n }, (_, i) => rule(i)).join('')}`)
  return dir
}

function perEvaluation(rules: Rules, actions: readonly Action[]): number {
  const set = rules.current()
  const now = Date.now()
  const round = (n: number): number => {
    const began = performance.now()
    for (let i = 0; i < n; i++) set.evaluate({ action: actions[i % actions.length]!, now })
    return ((performance.now() - began) * 1000) / n
  }
  round(50_000)
  return Math.min(...Array.from({ length: 5 }, () => round(100_000)))
}

function open(directory: string): Promise<Rules> {
  const clock = systemClock()
  const random = systemRandom()
  const quiet = (): void => {}
  const env: Env = {
    clock,
    random,
    newId: uuidv7Source(clock.now, random),
    log: { debug: quiet, info: quiet, warn: quiet, error: quiet },
  }
  const control: Control = {
    get: () => undefined,
    all: () => [],
    put: async () => true,
    delete: async () => true,
    subscribe: () => quiet,
  }
  const providers = ['alert-fanout', 'event-bus', 'metrics-queue']
  return openRules({
    directory,
    names: () => ({ providers, chains: ['telemetry-processing'], loops: { groupFlush: true, scheduled: true } }),
    env,
    control,
    scopeControl: control,
    hotRules: () => ({
      mode: 'warn',
      internalMode: 'disable',
      ruleLimit: readLimit({ count: 100, window: 'PT30S' }),
      entityLimit: readLimit({ count: 50, window: 'PT1M' }),
      internalLimit: readLimit({ count: 20, window: 'PT5M' }),
      entityFields: [],
    }),
    dispatchedBy: () => ({ types: new Set(), lockBy: undefined }),
    processEnv: {},
    defaults: { timezone: 'UTC', envNames: [], redact: (v) => v },
  })
}
