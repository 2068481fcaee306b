import type { Clock } from '../core/clock.ts'
import { type Bulkhead, createBulkhead } from './bulkhead.ts'
import { createHealth, type Health } from './health.ts'
import { createRateLimiter, type RateLimiter } from './rate-limit.ts'
import type { Route, Routes } from './route.ts'

/** What all deliveries to one provider share, so that a slow one holds up nobody but itself. */
export interface Lane {
  readonly bulkhead: Bulkhead
  readonly limiter: RateLimiter
  readonly health: Health
}

/** Lanes by provider name. They outlive a reload: what is in flight under the old routes counts under the new limits. */
export interface Lanes {
  of(name: string): Lane
  update(routes: Routes): void
}

export function createLanes(clock: Clock, routes: Routes): Lanes {
  const lanes = new Map<string, Lane>()
  const open = (route: Route): Lane => ({
    bulkhead: createBulkhead(route.maxConcurrent),
    limiter: createRateLimiter(clock, route.rateLimit),
    health: createHealth(clock),
  })
  const update = (next: Routes) => {
    // A lane whose route is gone stays for the deliveries that still use it; names are few.
    for (const [name, route] of next) {
      const lane = lanes.get(name)
      if (!lane) lanes.set(name, open(route))
      else {
        lane.bulkhead.resize(route.maxConcurrent)
        lane.limiter.configure(route.rateLimit)
      }
    }
  }
  update(routes)
  return { of: (name) => lanes.get(name)!, update }
}
