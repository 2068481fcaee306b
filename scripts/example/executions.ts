/** Executions as the gateway shows them. */
import { at, type Row } from './api.ts'

const ENDED = ['completed', 'partially_completed', 'failed', 'cancelled', 'timed_out', 'compensated']
export const hasEnded = (execution: Row): boolean => ENDED.includes(String(execution['status']))

/** How it ended, and why. */
export const endOf = (execution: Row): string =>
  [execution['status'], at(execution, 'error', 'code')].filter((x) => x !== undefined).join(': ')

/** The latest entry into a step. */
export const stepOf = (execution: Row, name: string): Row | undefined =>
  (execution['steps'] as readonly Row[] | undefined)?.findLast((s) => s['name'] === name)
