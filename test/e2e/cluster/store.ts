import type { AtEnd } from '../place.ts'

/** A store that several gateways share, for one test. */
export interface SharedStore {
  /** What it listens on, for a proxy of each gateway's own. */
  readonly port: number
  /** `[state]` and `[audit]` of a gateway that reaches it through this port. */
  settings(port: number): string
}
export type OpenShared = (atEnd: AtEnd) => Promise<SharedStore>
