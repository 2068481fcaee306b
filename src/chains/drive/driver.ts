import type { Env } from '../../core/env.ts'
import type { StateStore } from '../../core/state.ts'
import type { Lease } from '../../delivery/lease.ts'
import type { Tools } from '../decide/turn.ts'
import type { Loaded } from '../model/loaded.ts'
import type { Dispatcher } from '../model/step-kind.ts'
import type { Places } from './places.ts'
import type { Seat } from './seats.ts'

export interface Driver extends Tools {
  readonly state: StateStore
  readonly env: Env
  readonly dispatch: Dispatcher
  /** The time one attempt of a step may take. Milliseconds. */
  readonly stepDeadlineMs: () => number
  /** An execution was born by a commit, claimed by this node. As it stands. */
  readonly born: (child: Loaded) => void
  /** Something else may be due now. */
  readonly woke: () => void
  /** An execution was put down, and is due then. */
  readonly rests: (dueAt: number) => void
  /** It is handed back because this node lacks what its step needs: others go first. */
  readonly lacked: () => void
  /** Tells the driver of another execution, if it is here, that it has mail. */
  readonly poke: (id: string) => void
}
export interface Driving {
  readonly lease: Lease
  readonly places: Places
  /** To be at providers. */
  readonly seat: Seat
  /** Just born, so that nothing can have been sent for what is open. */
  readonly fresh: boolean
  readonly stopping: () => boolean
  /** How others reach it while it is driven: `mail`, there is a message; `stop`, back-off is to end. */
  readonly reach: (handle: { mail(): void; stop(): void }) => void
}
