import type { AuditRow } from '../core/audit.ts'
import type { Finding } from '../core/errors.ts'
import type { Ruleset } from '../core/plan.ts'

/** What rules may name: read at each load, so that a provider or chain added since is known to the next. */
export interface RuleNames {
  readonly providers: Iterable<string>
  readonly chains: Iterable<string>
  readonly defaultProvider?: string
  /** A rule whose loop is off is a warning. */
  readonly loops: { readonly groupFlush: boolean; readonly scheduled: boolean }
}

/** One rule in its wire names, as GET /v1/rules answers it. */
export interface RuleView {
  readonly name: string
  readonly priority: number
  readonly enabled: boolean
  readonly type: string
  readonly description?: string
  readonly file: string
  readonly line: number
  /** Since process start, on this node. */
  readonly hits: number
  /** RFC 3339. */
  readonly last_hit?: string
  /** Who switched it off; absent when the file itself did. */
  readonly disabled_by?: string
  readonly disable_details?: { readonly why?: string; readonly at: string }
}

export type Reloaded =
  | { readonly ok: true; readonly version: string; readonly warnings: readonly Finding[] }
  | { readonly ok: false; readonly findings: readonly Finding[] }

/** The last load: its warnings, or the errors that left the rules of before in force. */
export interface LoadState {
  /** Milliseconds. */
  readonly at: number
  readonly ok: boolean
  readonly findings: readonly Finding[]
}

export interface Rules {
  current(): Ruleset
  /** Reads the directory again: whole, or nothing changes. Never throws. */
  reload(): Promise<Reloaded>
  readonly lastLoad: LoadState
  /** In order of evaluation. */
  list(): readonly RuleView[]
  get(name: string): RuleView | undefined
  /**
   * Switches a rule by name, durably, on every node; wins until the file's own `enabled` changes. Throws Problem 404 for an
   * unknown name, and what the state store throws.
   */
  setEnabled(
    name: string,
    enabled: boolean,
    by: { readonly by: string; readonly why?: string; readonly record?: AuditRow },
  ): Promise<RuleView>
  /** Compiles a rule file's text beside nothing else and changes nothing. */
  check(text: string): readonly Finding[]
  /** Counts a hit of each rule. `now` in milliseconds. */
  hit(names: readonly string[], now: number): void
  /** Begins and ends watching the directory. */
  start(): void
  stop(): void
}
