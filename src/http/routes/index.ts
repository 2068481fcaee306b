import type { Route } from '../route.ts'
import { actionRoutes } from './actions.ts'
import { auditRoutes } from './audit.ts'
import { chainDefinitionRoutes } from './chain-definitions.ts'
import { chainOperationRoutes } from './chain-operations.ts'
import { chainRoutes } from './chains.ts'
import { circuitBreakerRoutes } from './circuit-breakers.ts'
import { dispatchRoutes } from './dispatch.ts'
import { dlqRoutes } from './dlq.ts'
import { eventRoutes } from './events.ts'
import { groupRoutes } from './groups.ts'
import { healthRoutes } from './health.ts'
import { nodeRoutes } from './nodes.ts'
import { providerRoutes } from './providers.ts'
import { quotaRoutes } from './quotas.ts'
import { recurringRoutes } from './recurring.ts'
import { retentionRoutes } from './retention.ts'
import { rootRoutes } from './root.ts'
import { ruleRoutes } from './rules.ts'
import { scheduledRoutes } from './scheduled.ts'
import { statsRoutes } from './stats.ts'
import { streamRoutes } from './stream.ts'

/** Every route there is. `GET /` and the README's table are made of it; a fixed path stands before one that varies. */
export const routes: readonly Route[] = [
  ...dispatchRoutes,
  ...actionRoutes,
  ...auditRoutes,
  ...ruleRoutes,
  ...chainDefinitionRoutes,
  ...chainRoutes,
  ...chainOperationRoutes,
  ...groupRoutes,
  ...scheduledRoutes,
  ...recurringRoutes,
  ...quotaRoutes,
  ...retentionRoutes,
  ...dlqRoutes,
  ...providerRoutes,
  ...circuitBreakerRoutes,
  ...eventRoutes,
  ...streamRoutes,
  ...nodeRoutes,
  ...statsRoutes,
  ...healthRoutes,
  ...rootRoutes((): readonly Route[] => routes),
]
