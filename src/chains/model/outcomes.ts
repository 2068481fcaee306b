import { isObject, type Json } from '../../core/json.ts'
import { isReference } from '../../core/template.ts'
import type { StepError, StepRecord, StepResult } from './run.ts'
import type { Entered, StepContext, Undelivered } from './step-kind.ts'

/** Results and records as every kind of step makes them. */
export const good = (body: Json, status: number | null = null): StepResult => ({
  success: true,
  fallback: false,
  status,
  body,
})
export const bad = (error: StepError, more: Partial<StepResult> = {}): StepResult => ({
  success: false,
  fallback: false,
  status: null,
  body: null,
  ...more,
  error,
})

export function opening({ run, task }: StepContext, missing: readonly string[] = []): StepRecord {
  return {
    key: task.key,
    iteration: task.iteration,
    seq: run.taken,
    enteredAt: task.since,
    ...(missing.length > 0 && { missing }),
  }
}

/** What is wrong with a template of what is sent, if it can never give that: an object. */
export const notSent = (template: Json | undefined): string | undefined =>
  template === undefined || isObject(template) || isReference(template)
    ? undefined
    : 'what is sent is an object: write a table, or one template that gives one'

/** It failed before anything could be done. */
export const failed = (record: StepRecord, error: StepError, undelivered?: Undelivered): Entered => ({
  to: 'end',
  record: { ...record, attempts: 0 },
  over: { result: bad(error), ...(undelivered && { undelivered }) },
})
