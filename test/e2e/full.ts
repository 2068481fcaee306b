import { expect } from 'vitest'
import type { JsonObject } from '../../src/core/json.ts'
import type { Gateway, Told } from './gateway.ts'

/** An action that was sent while a disk filled up, and what its caller was told. */
export interface Sent {
  readonly id: string
  readonly type: string
  readonly told: Told
}

/** Of each the gateway has the record of what its caller was told. */
export async function allThere(gateway: Gateway, taken: readonly Sent[]): Promise<void> {
  const missing: string[] = []
  for (const { id, told } of taken) {
    const { status, body } = await gateway.ask('GET', `/v1/actions/${id}`)
    const records = (body['records'] ?? []) as readonly JsonObject[]
    if (status !== 200 || !records.some((r) => r['outcome'] === told.body['outcome']))
      missing.push(`${id}: ${told.body['outcome']}`)
  }
  expect(missing).toEqual([])
}
