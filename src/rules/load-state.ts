import { type Finding, showFinding } from '../core/errors.ts'

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

/** A first load that fails: there are no rules of before to stay in force. */
export class RulesNotLoaded extends Error {
  override readonly name = 'RulesNotLoaded'
  readonly findings: readonly Finding[]
  constructor(findings: readonly Finding[]) {
    super(findings.map(showFinding).join('\n'))
    this.findings = findings
  }
}
