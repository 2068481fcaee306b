import type { StepDefinition } from '../model/definition.ts'
import type { StepKind } from '../model/step-kind.ts'
import { conditionStep } from './condition.ts'
import { dispatchStep } from './dispatch.ts'
import { endStep } from './end.ts'
import { forEachStep } from './for-each.ts'
import { parallelStep } from './parallel.ts'
import { providerStep } from './provider.ts'
import { setStep } from './set.ts'
import { subChainStep } from './sub-chain.ts'
import { waitStep } from './wait.ts'
import { signalStep } from './wait-for-signal.ts'

/** Every kind of step, by the key that makes a step one. */
export const stepKinds: { readonly [key: string]: StepKind } = {
  provider: providerStep,
  sub_chain: subChainStep,
  parallel: parallelStep,
  for_each: forEachStep,
  wait: waitStep,
  wait_for_signal: signalStep,
  condition: conditionStep,
  set: setStep,
  dispatch: dispatchStep,
  end: endStep,
}

/** Of a step that was read: it has exactly one of the keys. */
export const kindOf = (step: StepDefinition): StepKind =>
  Object.values(stepKinds).find((k) => Object.hasOwn(step, k.key))!
