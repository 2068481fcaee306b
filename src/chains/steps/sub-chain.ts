import { didYouMean } from '../../core/nearest.ts'
import type { SubChainStep } from '../model/definition.ts'
import { failed, opening } from '../model/outcomes.ts'
import { label } from '../model/shape.ts'
import type { StepKind } from '../model/step-kind.ts'

/** Runs another chain as an execution of its own, and waits for its end. */
export const subChainStep: StepKind<SubChainStep> = {
  kind: 'sub_chain',
  key: 'sub_chain',
  leaf: true,
  chooses: false,
  shape: { sub_chain: label },
  check(step, at) {
    if (!at.chains.has(step.sub_chain))
      at.error(['sub_chain'], `there is no chain "${step.sub_chain}"${didYouMean(step.sub_chain, at.chains)}`)
  },
  texts: () => [],
  prepare: (step) => ({
    enter(at) {
      const own = step.timeout_seconds === undefined ? undefined : step.timeout_seconds * 1000
      const child = at.child(step.sub_chain, own)
      if ('cycle' in child)
        return failed(opening(at), { code: 'loop_detected', message: `it has come round: ${child.cycle.join(' → ')}` })
      const record = { ...opening(at), child: { id: child.id, chain: step.sub_chain } }
      return { to: 'child', record, child: child.id, ops: child.ops }
    },
    woken(_at, by) {
      if (by.by !== 'child') throw new Error('a sub-chain step waits for its execution alone')
      // A chain that failed may succeed when it is run anew: that is for the step's own retry policy to say.
      return { result: by.result, retryable: !by.result.success }
    },
  }),
}
