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

/** The chains that rules start, each with the first rule that does. */
export function startsOf(
  rules: readonly { readonly name: string; readonly chain?: string | undefined }[],
): ReadonlyMap<string, string> {
  const starts = new Map<string, string>()
  for (const { chain, name } of rules) if (chain !== undefined && !starts.has(chain)) starts.set(chain, name)
  return starts
}
