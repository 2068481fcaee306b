import { expect } from 'vitest'
import type { JsonObject } from '../../src/core/json.ts'
import type { TestGateway, Told } from '../fakes/gateway.ts'

export const items = (t: Told, name: string) => t.body[name] as readonly JsonObject[]

/** What was changed by hand, oldest first: the word for it and its details. */
export const admin = async (g: TestGateway) =>
  (await g.records('', ''))
    .filter((r) => r.kind === 'admin')
    .map((r) => [r.action_type, (r.details as JsonObject | undefined) ?? {}] as const)

/** What every problem has, whatever it is about. */
export function problem(t: Told, status: number, code: string, more: object = {}): void {
  expect([t.status, t.body], t.text).toEqual([
    status,
    expect.objectContaining({
      type: `urn:signalbox:problem:${code}`,
      code,
      status,
      title: expect.any(String),
      ...more,
    }),
  ])
  expect(t.headers.get('content-type')).toBe('application/problem+json')
  expect(t.headers.get('signalbox-outcome')).toBeNull()
}
