import type { AtEnd } from '../place.ts'

/** A store that several gateways share, for one test. */
export interface SharedStore {
  /** What it listens on, for a proxy of each gateway's own. */
  readonly port: number
  /** `[state]` and `[audit]` of a gateway that reaches it through this port. */
  settings(port: number): string
  /**
   * What the order of its stream is: that of the commits, that in which they were carried to an audit elsewhere, or that of each gateway's
   * commits, put together by their time.
   */
  readonly trail: 'commits' | 'carried' | 'by_gateway'
}
export type OpenShared = (atEnd: AtEnd) => Promise<SharedStore>
