import type { Committed, OpResult } from '../../core/state.ts'
import type { Answer } from '../batching.ts'
import { DONE } from '../decide/tx.ts'
import { type Packed, Packer, Unpacker } from './packing.ts'

/** How an answer travels: a commit that stands, and that is nearly every one, as numbers; every other one as JSON. */
const COMMITTED = 0
const OTHER = 1
/** Or how a result does, of which most say nothing, or how many there are now. */
const NOTHING = 0
const COUNT = 1
const MORE = 2

/** Answers from the writer's thread, a batch of them at a time. */
export function answersPacker(): (answers: readonly Answer[]) => Packed {
  const to = new Packer()
  return (answers) => {
    to.begin()
    to.number(answers.length)
    for (const answer of answers) {
      if (!isCommitted(answer[1])) {
        to.number(OTHER)
        to.json(answer)
        continue
      }
      const { results } = answer[1]
      to.number(COMMITTED)
      to.number(results.length)
      for (const result of results) packResult(to, result)
    }
    return to.done()
  }
}
const isCommitted = (value: unknown): value is Committed =>
  typeof value === 'object' && value !== null && 'ok' in value && value.ok === true

function packResult(to: Packer, result: OpResult): void {
  if (result === DONE) {
    to.number(NOTHING)
    return
  }
  const { n, dueAt, claimNumber, sealed, skipped } = result
  if (n !== undefined && (dueAt ?? claimNumber ?? sealed ?? skipped) === undefined) {
    to.number(COUNT)
    to.number(n)
    return
  }
  to.number(MORE)
  to.json(result)
}

export function answersUnpacker(): (packed: Packed) => readonly Answer[] {
  const from = new Unpacker()
  const result = (): OpResult => {
    const kind = from.number()
    if (kind === NOTHING) return DONE
    return kind === COUNT ? { n: from.number() } : (from.json() as OpResult)
  }
  return (packed) => {
    from.begin(packed)
    const answers: Answer[] = []
    for (let left = from.number(); left > 0; left--) {
      if (from.number() === OTHER) {
        answers.push(from.json() as Answer)
        continue
      }
      const results: OpResult[] = []
      for (let more = from.number(); more > 0; more--) results.push(result())
      answers.push([0, { ok: true, results } satisfies Committed])
    }
    return answers
  }
}
