import { z } from 'zod'
import { isoTime } from '../../core/clock.ts'
import { didYouMean } from '../../core/nearest.ts'
import { compileTemplate } from '../../core/template.ts'
import { gotoTarget, type SignalStep } from '../model/definition.ts'
import { bad, failed, good, opening } from '../model/outcomes.ts'
import { timeoutSeconds } from '../model/shape.ts'
import type { Over, Signal, StepKind } from '../model/step-kind.ts'
import { variables } from '../model/variables.ts'

/** Waits until somebody says so; what was said before it came here is kept for it. */
export const signalStep: StepKind<SignalStep> = {
  kind: 'wait_for_signal',
  key: 'wait_for_signal',
  leaf: true,
  chooses: false,
  shape: {
    wait_for_signal: z.strictObject({
      signal: z.string().min(1).max(128),
      timeout_seconds: timeoutSeconds.optional(),
      on_timeout: z.string().min(1).optional(),
    }),
  },
  check({ wait_for_signal: w }, at) {
    const { on_timeout: then } = w
    if (then === undefined) return
    const path = ['wait_for_signal', 'on_timeout']
    if (w.timeout_seconds === undefined) at.error(path, 'on_timeout needs timeout_seconds beside it')
    if (then === 'fail' || then === 'continue') return
    if (gotoTarget(then) === undefined)
      return at.error(path, `on_timeout is fail, continue or goto:<step>${didYouMean(then, ['fail', 'continue'])}`)
    if (at.inGroup) at.error(path, 'inside a group there is no step to go to')
  },
  targets({ wait_for_signal: w }) {
    const target = gotoTarget(w.on_timeout)
    return target === undefined ? [] : [{ kind: 'on_timeout', target, path: ['wait_for_signal', 'on_timeout'] }]
  },
  texts: ({ wait_for_signal: w }) => [{ path: ['wait_for_signal', 'signal'], source: w.signal }],
  prepare({ wait_for_signal: w }) {
    const template = compileTemplate(w.signal)
    return {
      enter(at) {
        const missing: string[] = []
        const name = template.render(variables(at), missing)
        const record = { ...opening(at, missing), input: { signal: name } }
        if (typeof name !== 'string' || name.length < 1 || name.length > 128)
          return failed(record, {
            code: 'invalid_signal',
            message: 'the name of a signal is text of 1 to 128 characters',
          })
        const early = at.signal(name)
        if (early) return { to: 'end', record, over: got(early) }
        const until = w.timeout_seconds === undefined ? undefined : at.now + w.timeout_seconds * 1000
        return { to: 'wait', record, until, signal: name }
      },
      woken(_at, by): Over {
        if (by.by === 'signal') return got(by.signal)
        const then = w.on_timeout ?? 'fail'
        if (then === 'fail')
          return {
            result: bad({ code: 'signal_timeout', message: `no signal came within ${w.timeout_seconds ?? 0} s` }),
          }
        const result = good({ timed_out: true })
        return { result, next: gotoTarget(then) }
      },
    }
  },
}

const got = (signal: Signal): Over => ({
  result: good({ signal: signal.name, payload: signal.payload, by: signal.by, sent_at: isoTime(signal.at) }),
  took: signal,
})
