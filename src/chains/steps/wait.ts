import { z } from 'zod'
import { isoTime } from '../../core/clock.ts'
import { LAST_MOMENT, YEAR_SECONDS } from '../../core/duration.ts'
import { isMoment } from '../../core/moment.ts'
import { compileTemplate } from '../../core/template.ts'
import type { WaitStep } from '../model/definition.ts'
import { failed, good, opening } from '../model/outcomes.ts'
import type { StepKind } from '../model/step-kind.ts'
import { variables } from '../model/variables.ts'

/** Lets time pass; nothing but the stored moment holds it. */
export const waitStep: StepKind<WaitStep> = {
  kind: 'wait',
  key: 'wait',
  leaf: true,
  chooses: false,
  shape: {
    wait: z.strictObject({
      seconds: z.union([z.number().min(0).max(YEAR_SECONDS), z.string().min(1)]).optional(),
      until: z.string().min(1).optional(),
    }),
  },
  check({ wait }, at) {
    if ((wait.seconds === undefined) === (wait.until === undefined))
      at.error(['wait'], 'a wait has seconds or until, one of the two')
    const { seconds } = wait
    if (typeof seconds === 'string' && !seconds.includes('{{') && typeof after(seconds, 0) === 'string')
      at.error(['wait', 'seconds'], `seconds is a number from 0 to ${YEAR_SECONDS}, or a template that gives one`)
    if (wait.until !== undefined && !wait.until.includes('{{') && typeof moment(wait.until) === 'string')
      at.error(
        ['wait', 'until'],
        'until is a moment like 2026-01-31T08:00:00Z (RFC 3339), or a template that gives one',
      )
  },
  texts({ wait }) {
    if (wait.until !== undefined) return [{ path: ['wait', 'until'], source: wait.until }]
    return typeof wait.seconds === 'string' ? [{ path: ['wait', 'seconds'], source: wait.seconds }] : []
  },
  prepare({ wait }) {
    const template = compileTemplate(wait.until ?? wait.seconds ?? 0)
    return {
      enter(at) {
        const missing: string[] = []
        const value = template.render(variables(at), missing)
        const record = { ...opening(at, missing), input: { [wait.until === undefined ? 'seconds' : 'until']: value } }
        const until = wait.until === undefined ? after(value, at.now) : moment(value)
        if (typeof until === 'string') return failed(record, { code: 'invalid_wait', message: until })
        if (until <= at.now) return { to: 'end', record, over: { result: good({ waited_until: isoTime(at.now) }) } }
        return { to: 'wait', record, until, fixed: wait.until !== undefined }
      },
      woken: (at) => ({ result: good({ waited_until: isoTime(at.now) }) }),
    }
  },
}

function after(value: unknown, now: number): number | string {
  const seconds = typeof value === 'string' && value.trim() !== '' ? Number(value) : value
  if (typeof seconds === 'number' && seconds >= 0 && seconds <= YEAR_SECONDS) return now + Math.ceil(seconds * 1000)
  return `seconds gave what is no number from 0 to ${YEAR_SECONDS}`
}

function moment(value: unknown): number | string {
  const at = typeof value === 'string' && isMoment(value) ? Date.parse(value) : Number.NaN
  if (at <= LAST_MOMENT) return at
  return 'until gave what is no moment of RFC 3339 up to the year 9999'
}
