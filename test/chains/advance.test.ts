import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { advance } from '../../src/chains/advance.ts'
import { type Chain, compileChain } from '../../src/chains/compile.ts'
import { parseChainDefinitions } from '../../src/chains/parse.ts'
import { hasEnded, type Run, type StepRecord, type StepResult } from '../../src/chains/run.ts'
import type { Json, JsonObject } from '../../src/core/json.ts'
import { badRequest, OK } from '../fakes/provider.ts'
import { actionOf, guide, guideProviders, scope, start, step, tests, world } from './set-up.ts'

const origin = actionOf({ urgent: true, items: [{ n: 7 }] }, 'o')
const compile = (...raw: readonly Json[]): Chain =>
  compileChain(parseChainDefinitions(raw, { providers: ['p', ...guideProviders], tests }).definitions[0]!, tests)
const begun = (chain: Chain, now = 0): Run => ({
  v: 1,
  id: 'r',
  chain: chain.name,
  version: chain.version,
  totalSteps: chain.steps.size,
  actionId: 'o',
  runId: 'a',
  startedAt: now,
  timeoutMs: 100_000,
  deadline: now + 100_000,
  status: 'running',
  at: { step: chain.first, iteration: 0, since: now },
  entered: { [chain.first]: 1 },
  taken: 0,
  resumed: 0,
})
const ok = (body: Json = null, more: Partial<StepResult> = {}): StepResult => ({
  success: true,
  fallback: false,
  provider: 'p',
  status: 200,
  body,
  ...more,
})
const failure: StepResult = {
  success: false,
  fallback: false,
  provider: 'p',
  status: 503,
  body: null,
  error: { code: 'http_503', message: 'no' },
}
/** One step's end; where the execution goes. */
const goesTo = (chain: Chain, result: StepResult, results: Record<string, StepResult> = {}) => {
  const run = begun(chain)
  const seen = new Map(Object.entries({ ...results, [chain.first]: result }))
  const next = advance(chain, run, { type: 'step_ended', result }, { origin, results: seen }, 1)
  return hasEnded(next) ? next.status : next.at.step
}
const chainOf = (first: JsonObject, ...more: JsonObject[]) =>
  compile({ name: 'c', steps: [step('a', 'p', first), ...more, step('b'), step('x'), step('y')] })
const when = (field: string, operator: string, value: Json, target: string) => ({ field, operator, value, target })

describe('after a step', () => {
  it('the first branch that holds, else default_next, else the next of the file', () => {
    const branches = [when('body.n', 'gt', 5, 'x'), when('body.n', 'gt', 1, 'y')]
    expect(goesTo(chainOf({ branches, default_next: 'b' }), ok({ n: 9 }))).toBe('x')
    expect(goesTo(chainOf({ branches, default_next: 'b' }), ok({ n: 3 }))).toBe('y')
    expect(goesTo(chainOf({ branches, default_next: 'y' }), ok({ n: 0 }))).toBe('y')
    expect(goesTo(chainOf({ branches }), ok({ n: 0 }))).toBe('b')
    expect(goesTo(compile({ name: 'c', steps: [step('a')] }), ok())).toBe('completed')
  })

  it.each([
    ['success', true, ok()],
    ['fallback', true, ok(null, { fallback: true })],
    ['provider', 'q', ok(null, { provider: 'q' })],
    ['status', 201, ok(null, { status: 201 })],
    ['body', 'text', ok('text')],
    ['body.list.1.k', 2, ok({ list: [{}, { k: 2 }] })],
    ['body.constructor', null, ok({})],
    ['origin.payload.items.0.n', 7, ok()],
    ['origin.metadata.zone', 'north', ok()],
    ['steps.a.status', 200, ok()],
    ['steps.y.body', null, ok()],
    ['error.code', null, ok()],
  ])('a branch sees %s', (field, value, result) => {
    expect(goesTo(chainOf({ branches: [when(field, 'eq', value, 'x')] }), result)).toBe('x')
    expect(goesTo(chainOf({ branches: [when(field, 'eq', 'something else', 'x')] }), result)).toBe('b')
  })

  it('a failure ends the execution, unless the step says where to go', () => {
    expect(goesTo(chainOf({}), failure)).toBe('failed')
    expect(goesTo(chainOf({ default_next: 'y' }), failure)).toBe('y')
    expect(goesTo(chainOf({ branches: [when('error.code', 'eq', 'http_503', 'x')] }), failure)).toBe('x')
    // The same choice as after a success: no branch holds, so the next of the file.
    expect(goesTo(chainOf({ branches: [when('success', 'eq', true, 'x')] }), failure)).toBe('b')
  })

  it('a terminal status is final', () => {
    const chain = chainOf({})
    fc.assert(
      fc.property(fc.constantFrom('completed', 'failed', 'cancelled', 'timed_out'), fc.nat(), (status, now) => {
        const run: Run = { ...begun(chain), status, endedAt: 5 }
        const facts = { origin, results: new Map() }
        for (const event of [
          { type: 'step_ended', result: ok() },
          { type: 'cancelled', by: 'x' },
          { type: 'timed_out' },
          { type: 'waits', child: 'c' },
          { type: 'handed_back', dueAt: 9 },
        ] as const)
          expect(advance(chain, run, event, facts, now)).toBe(run)
      }),
    )
  })
})

describe('the record of an execution is the fold of its history', () => {
  it('replaying what its steps left gives what is stored, whatever they answered', async () => {
    const scripts = fc.record({
      first: fc.boolean(),
      logged: fc.boolean(),
      detector: fc.boolean(),
      fanout: fc.boolean(),
      queue: fc.boolean(),
    })
    await fc.assert(
      fc.asyncProperty(scripts, async (s) => {
        const says = (good: boolean, body: Json = {}) => ({ script: [good ? { ...OK, body } : badRequest()] })
        const w = await world(guide, {
          'telemetry-normalizer': says(s.first, { logged: s.logged }),
          'anomaly-detector': says(s.detector),
          'alert-fanout': says(s.fanout),
          'event-bus': says(true),
          'metrics-queue': says(s.queue),
        })
        const chains = await w.node()
        await start(w, chains, w.memory.state, 'telemetry-processing', origin)
        await w.env.clock.settle()
        const runs = await w.memory.state.list('run', scope, { limit: 10 })
        expect(runs.entries.length).toBeGreaterThan(0)
        for (const entry of runs.entries) {
          const stored = JSON.parse(entry.value) as Run
          const left = (await w.memory.state.list('step', scope, { limit: 100 })).entries
            .filter((e) => e.key.id.startsWith(`${stored.id}/step/`))
            .map((e) => JSON.parse(e.value) as StepRecord)
            .sort((a, b) => a.seq - b.seq)
          const chain = compileChain(chains.definition(stored.chain)!.definition, tests)
          const { parent, rule, timeoutMs, deadline, id, runId } = stored
          let run: Run = {
            ...begun(chain, stored.startedAt),
            id,
            runId,
            timeoutMs,
            deadline,
            ...(rule !== undefined && { rule }),
            ...(parent && { parent }),
          }
          const results = new Map<string, StepResult>()
          for (const [i, record] of left.entries()) {
            expect(record).toMatchObject({ seq: i, step: run.at.step, iteration: run.at.iteration })
            results.set(record.step, record.result!)
            const facts = { origin, results }
            if (record.child)
              run = advance(chain, run, { type: 'waits', child: record.child.id }, facts, record.enteredAt)
            run = advance(chain, run, { type: 'step_ended', result: record.result! }, facts, record.endedAt!)
          }
          expect(run).toEqual(stored)
          expect(hasEnded(run)).toBe(true)
        }
      }),
      { numRuns: 32 },
    )
  })
})
