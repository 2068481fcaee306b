import { readControlDoc } from '../../core/control-doc.ts'
import type { Control, ControlDoc } from '../../core/state.ts'
import type { Version } from './versions.ts'

const CHAINS = 'chains'

/** A document of the control topic `chains`; its id is the chain's name. */
export type Stored = Pick<Version, 'definition' | 'updated_at' | 'updated_by'>

/**
 * A document of the topic that each change of a definition replaces, so that changes come one after another on all nodes: what each
 * was looked at beside is what it is put beside. No chain has its name, and it sorts before those of all.
 */
export const GUARD = '\u0001'
/** Versions that know of no such document take it for a definition, as they do every one of the topic: one that is never started. */
export const GUARD_VALUE = JSON.stringify({
  definition: { name: GUARD, enabled: false, steps: [] },
  updated_at: '1970-01-01T00:00:00.000Z',
  updated_by: 'gateway',
} satisfies Stored)

export const readStored = (doc: ControlDoc): Stored => readControlDoc(CHAINS, doc)

/** The definitions made through the API. */
export const storedDefinitions = (control: Pick<Control, 'all'>): readonly Stored[] =>
  control.all().flatMap((doc) => (doc.id === GUARD ? [] : [readStored(doc)]))
