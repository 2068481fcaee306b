import type { Route } from '../route.ts'
import { dispatchRoutes } from './dispatch.ts'
import { healthRoutes } from './health.ts'
import { ruleRoutes } from './rules.ts'

/** Every route there is. `GET /` and the README's table are made of it; a fixed path stands before one that varies. */
export const routes: readonly Route[] = [...dispatchRoutes, ...ruleRoutes, ...healthRoutes]
