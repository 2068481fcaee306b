import { StateTooLarge, StateUnavailable, StateUnknown } from '../core/errors.ts'

/** The audit says no to what it is given; it is not away. */
export const refuses = (e: unknown): boolean =>
  e instanceof StateTooLarge || !(e instanceof StateUnavailable || e instanceof StateUnknown)
export const say = (e: unknown): string => (e instanceof Error ? e.message : String(e))
