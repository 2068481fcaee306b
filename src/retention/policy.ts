import { z } from 'zod'
import type { Scope } from '../core/action.ts'
import { isoTime } from '../core/clock.ts'
import { joinParts, uuidv5 } from '../core/ids.ts'
import type { JsonObject } from '../core/json.ts'
import { parseWire, wireAge, wireName } from '../core/wire.ts'

/** A policy as callers write it: how long what has ended is kept. Work never expires. */
export const retentionSchema = z.strictObject({
  namespace: wireName.optional(),
  tenant: wireName.optional(),
  audit_ttl_seconds: wireAge.optional(),
  event_ttl_seconds: wireAge.optional(),
  /** Finished executions and dead letters. */
  state_ttl_seconds: wireAge.optional(),
  enabled: z.boolean().default(true),
  description: z.string().max(1000).optional(),
  /** A word of the contract that is not built: accepting it would delete what somebody must keep. */
  compliance_hold: z.literal(false, 'is not supported yet').optional(),
})

/** One per scope. */
export interface RetentionPolicy {
  readonly id: string
  readonly namespace: string
  readonly tenant: string
  readonly auditTtlSeconds?: number
  readonly eventTtlSeconds?: number
  readonly stateTtlSeconds?: number
  readonly enabled: boolean
  readonly description?: string
  /** Milliseconds. */
  readonly createdAt: number
  readonly updatedAt: number
}

export const policyDocId = (scope: Scope): string => joinParts(scope)
/** For routes that name a policy: the scope's, always the same. */
export const policyId = (scope: Scope): string => uuidv5('retention', ...scope)

/** Throws Problem 400 `invalid_retention`. */
export function readPolicy(scope: Scope, body: unknown, now: number) {
  const read = parseWire(retentionSchema, body, 'retention')
  const mine: Scope = [read.namespace ?? scope[0], read.tenant ?? scope[1]]
  return (before: RetentionPolicy | undefined): RetentionPolicy => ({
    id: policyId(mine),
    namespace: mine[0],
    tenant: mine[1],
    ...(read.audit_ttl_seconds !== undefined && { auditTtlSeconds: read.audit_ttl_seconds }),
    ...(read.event_ttl_seconds !== undefined && { eventTtlSeconds: read.event_ttl_seconds }),
    ...(read.state_ttl_seconds !== undefined && { stateTtlSeconds: read.state_ttl_seconds }),
    enabled: read.enabled,
    ...(read.description !== undefined && { description: read.description }),
    createdAt: before?.createdAt ?? now,
    updatedAt: now,
  })
}

export const policyView = (p: RetentionPolicy): JsonObject => ({
  id: p.id,
  namespace: p.namespace,
  tenant: p.tenant,
  ...(p.auditTtlSeconds !== undefined && { audit_ttl_seconds: p.auditTtlSeconds }),
  ...(p.eventTtlSeconds !== undefined && { event_ttl_seconds: p.eventTtlSeconds }),
  ...(p.stateTtlSeconds !== undefined && { state_ttl_seconds: p.stateTtlSeconds }),
  enabled: p.enabled,
  ...(p.description !== undefined && { description: p.description }),
  created_at: isoTime(p.createdAt),
  updated_at: isoTime(p.updatedAt),
})
