import type { Op } from '../core/state.ts'

/** Characters that ops carry in the texts that may be long, as good as all there are. */
export function charsOf(ops: readonly Op[]): number {
  let chars = 0
  for (const op of ops)
    if (op.op === 'put') chars += op.value.length
    else if (op.op === 'record') chars += op.row.json.length
    else if (op.op === 'append') chars += op.item.length + op.value.length
  return chars
}
