import type { Loop } from './loop.ts'
import type { LoopParts } from './parts.ts'
import { periodic } from './periodic.ts'

/** Carries records over to an audit in another place than the state: within about so long they can be asked for. */
const EVERY_MS = 500

export const auditOutbox = ({ handlers }: LoopParts): Loop =>
  periodic({ name: 'audit-outbox', everyMs: EVERY_MS, batch: Number.POSITIVE_INFINITY, tick: handlers.carryAudit })
