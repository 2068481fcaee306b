import type { AtEnd } from '../place.ts'

/** A store that several gateways share, for one test. */
export interface SharedStore {
  /** What it listens on, for a proxy of each gateway's own. */
  readonly port: number
  /** `[state]` and `[audit]` of a gateway that reaches it through this port. */
  settings(port: number): string
  /** Each gateway has an audit of its own, and its stream shows that. */
  readonly auditEach?: boolean
}
export type OpenShared = (atEnd: AtEnd) => Promise<SharedStore>
