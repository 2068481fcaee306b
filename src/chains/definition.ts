import type { Json } from '../core/json.ts'

/** What an operator wrote, parsed: plain data, stored with each execution that began with it. Keys as in TOML and JSON. */
export interface ChainDefinition {
  readonly name: string
  readonly timeout_seconds?: number
  readonly steps: readonly StepDefinition[]
}
export type StepDefinition = ProviderStep | SubChainStep

interface Common {
  readonly name: string
  /** Asked in order once the step has ended: the first that holds says where to go. */
  readonly branches?: readonly Branch[]
  /** Where to go when no branch holds; left out = the next step of the file. */
  readonly default_next?: string
  /** Of one attempt to get the step done, from when a node takes it up. */
  readonly timeout_seconds?: number
}
export interface ProviderStep extends Common {
  readonly provider: string
  readonly action_type: string
  /** Left out = the origin's payload as it is. */
  readonly payload_template?: Json
  /** Before the provider's own fallback. */
  readonly fallback_provider?: string
}
export interface SubChainStep extends Common {
  readonly sub_chain: string
}
export interface Branch {
  readonly field: string
  readonly operator: string
  readonly value?: Json
  readonly target: string
}

export type Path = readonly (string | number)[]
export type Say = (path: Path, message: string, severity?: 'error' | 'warning') => void

/**
 * What is wrong with definitions as written, and where: `path` begins at the array of definitions, so that a file reader
 * can make it a line and column and a request reader a JSON pointer.
 */
export interface DefinitionIssue {
  readonly path: Path
  readonly message: string
  readonly severity: 'error' | 'warning'
}

/** The operators of rule conditions, handed in because chains may not import rules. */
export interface BranchTests {
  /** Every name, aliases included. */
  readonly operators: readonly string[]
  /** A test of a field's value (a missing field is null), or what is wrong with `value`. The test never throws. */
  compile(operator: string, value: Json | undefined): ((field: Json) => boolean) | string
}
