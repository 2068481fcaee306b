import type { Action } from '../core/action.ts'
import { LINEAGE_HEADER, LINEAGE_KEY, type Lineage, type LineageSigner, longer, nextHop } from '../core/lineage.ts'

/** What came with an action, beside it. */
export interface Behind {
  /** Of an action that comes back, its new hop included. */
  readonly lineage?: Lineage
  /** About what came and was not taken. */
  readonly warnings?: readonly string[]
}
type Reader = Pick<LineageSigner, 'read'>

/** Of every action of a request. What is not signed here is none: whoever made it up gets no error to learn from. */
export function behindRequest(header: string | undefined, signer: Reader): Behind {
  if (header === undefined) return {}
  const read = signer.read(header)
  if (!read) return { warnings: [`the header ${LINEAGE_HEADER} was not signed by this gateway; it is ignored`] }
  return { lineage: nextHop(read) }
}

/** Of one action: its metadata may carry a lineage too, as a consumer that copies a message's attributes leaves it. The longer counts. */
export function behindAction(
  action: Action,
  request: Behind,
  signer: Reader,
): { readonly action: Action; readonly behind: Behind } {
  const text = Object.hasOwn(action.metadata, LINEAGE_KEY) ? action.metadata[LINEAGE_KEY] : undefined
  if (text === undefined) return { action, behind: request }
  const read = signer.read(text)
  if (!read) {
    const warning = `metadata.${LINEAGE_KEY} was not signed by this gateway; it is metadata like any other`
    return { action, behind: { ...request, warnings: [...(request.warnings ?? []), warning] } }
  }
  const { [LINEAGE_KEY]: _taken, ...metadata } = action.metadata
  const lineage = longer(request.lineage, nextHop(read))
  return { action: { ...action, metadata }, behind: { ...request, ...(lineage && { lineage }) } }
}
