import type { StepDefinition } from '../definition.ts'
import type { StepKind } from '../step-kind.ts'
import { providerStep } from './provider.ts'
import { subChainStep } from './sub-chain.ts'

/** Every kind of step, by the key that makes a step one. */
export const stepKinds: { readonly [key: string]: StepKind } = {
  provider: providerStep,
  sub_chain: subChainStep,
}

/** Of a step that was read: it has exactly one of the keys. */
export const kindOf = (step: StepDefinition): StepKind =>
  Object.values(stepKinds).find((k) => Object.hasOwn(step, k.key))!
