/** What rules may name: read at each load, so that a provider or chain added since is known to the next. */
export interface RuleNames {
  readonly providers: Iterable<string>
  readonly chains: Iterable<string>
  readonly defaultProvider?: string
  /** A rule whose loop is off is a warning. */
  /** Bytes of a group that the state store keeps; left out: any. */
  readonly mostGroupBytes?: number
  readonly loops: { readonly groupFlush: boolean; readonly scheduled: boolean }
}
