import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import type { Scope } from '../../../src/core/action.ts'
import type { Json, JsonObject } from '../../../src/core/json.ts'
import { gatewayFile, sqlite } from '../gateway-file.ts'

export const SCOPE: Scope = ['bench', 'chains']
export const STEPS = 3
/** The action type by which its line in the log is found. */
export const FIRST_STEP = 'first'

/** The action that starts an execution of a chain: the rule goes by its type. */
export const startBody = (chain: string, id: string): string =>
  JSON.stringify({
    namespace: SCOPE[0],
    tenant: SCOPE[1],
    provider: 'console',
    action_type: chain,
    id,
    payload: { order: 4711, amount: 12.5, currency: 'EUR' },
  })

export type Definition = {
  readonly name: string
  readonly steps: readonly JsonObject[]
  readonly timeout_seconds?: number
}

const logged = (name: string): JsonObject => ({
  name,
  provider: 'console',
  action_type: name,
  payload_template: { order: '{{origin.payload.order}}' },
})
export const threeSteps: Definition = { name: 'three-steps', steps: [FIRST_STEP, 'second', 'third'].map(logged) }

/** Calls that do not depend on each other, and a step that needs them all. */
export const BRANCHES = ['stock', 'price', 'address', 'credit']
export const graph: Definition = {
  name: 'graph',
  steps: [
    ...BRANCHES.map((name) => ({ name, provider: 'slow', action_type: name })),
    { ...logged('confirm'), needs: BRANCHES },
  ],
}

/** A day is longer than any bench. */
const DAY = 86_400
const waiting = (name: string, step: { readonly [key: string]: Json }): Definition => ({
  name,
  timeout_seconds: 2 * DAY,
  steps: [{ name: 'wait', ...step }, logged('afterwards')],
})
export const waitingForTime = waiting('waiting-for-time', { wait: { seconds: DAY } })
export const waitingForSignal = waiting('waiting-for-signal', {
  wait_for_signal: { signal: 'go', timeout_seconds: DAY },
})

/** `slowUrl`: where the provider `slow` sends to. Answers the file's path. */
export function writeGateway(folder: string, slowUrl?: string): string {
  mkdirSync(join(folder, 'rules'), { recursive: true })
  const slow = slowUrl === undefined ? '' : `[[providers]]\nname = "slow"\ntype = "webhook"\nurl = "${slowUrl}"\n`
  return gatewayFile(folder, sqlite('full'), `[[providers]]\nname = "console"\ntype = "log"\n\n${slow}`)
}

/** The rule that starts a chain. */
export const ruleFile = (chain: string): string => `rules:
  - name: start-${chain}
    condition: { field: action.action_type, eq: ${chain} }
    action: { type: chain, chain: ${chain} }
`
