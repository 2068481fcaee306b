import { didYouMean } from '../../core/nearest.ts'
import type { SubChainStep } from '../definition.ts'
import { label } from '../shape.ts'
import type { StepKind } from '../step-kind.ts'

/** Runs another chain as an execution of its own, and waits for its end. */
export const subChainStep: StepKind<SubChainStep> = {
  kind: 'sub_chain',
  key: 'sub_chain',
  startsAtOnce: false,
  shape: { sub_chain: label },
  check(step, at) {
    if (!at.chains.has(step.sub_chain))
      at.error('sub_chain', `there is no chain "${step.sub_chain}"${didYouMean(step.sub_chain, at.chains)}`)
  },
  template: () => undefined,

  enter(step, at) {
    const { iteration, since } = at.run.at
    const child = at.child(step.sub_chain, step.timeout_seconds === undefined ? undefined : step.timeout_seconds * 1000)
    return {
      record: {
        step: step.name,
        iteration,
        seq: at.run.taken,
        enteredAt: since,
        child: { id: child.id, chain: step.sub_chain },
      },
      store: true,
      ops: child.ops,
      child: child.id,
      waits: true,
    }
  },

  async act(_step, at) {
    return at.childEnd ? { kind: 'ended', record: at.record, result: at.childEnd.result } : { kind: 'waits' }
  },
}
