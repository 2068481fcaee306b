import { describe } from 'vitest'
import { buffersContract } from './state/buffers.ts'
import { claimsContract } from './state/claims.ts'
import { entriesContract } from './state/entries.ts'
import { guardsContract } from './state/guards.ts'
import { listsContract } from './state/lists.ts'
import { lossesContract } from './state/losses.ts'
import type { OpenState } from './state/subject.ts'

/** What every state backend must do. `open` gives a store on the environment's clock; it is closed when its part is done. */
export function stateContract(name: string, open: OpenState): void {
  describe(`state: ${name}`, () => {
    entriesContract(open)
    listsContract(open)
    claimsContract(open)
    guardsContract(open)
    buffersContract(open)
    lossesContract(open)
  })
}
