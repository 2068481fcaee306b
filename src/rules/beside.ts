import type { Finding } from '../core/errors.ts'
import type { RuleNames } from './names.ts'

/** What is read and judged together with the rule files: both take effect at the same moment, or neither does. */
export interface Beside {
  /** What is wrong with it by itself; the rules are then refused as well. */
  readonly errors: readonly Finding[]
  /** As they will be with it. */
  readonly names: RuleNames
  /** Puts it in force. Answers what is in the way, and has then changed nothing. */
  take(): readonly Finding[]
  /** It stays out of force, and so do the rules. True: the log has been told so of both. */
  refuse(errors: readonly Finding[]): boolean
}
