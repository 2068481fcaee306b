import { describe, expect, it } from 'vitest'
import { ProviderError } from '../../src/core/errors.ts'
import type { Json } from '../../src/core/json.ts'
import { listDeadLetters } from '../../src/delivery/dead-letters.ts'
import { actionOf, at, audit, guide, reading, scope, start, stepsOf, world } from './set-up.ts'

const body = (b: Json) => ({ status: 200, body: b })
const answers = {
  'telemetry-normalizer': { script: [body({ logged: true })] },
  'anomaly-detector': { script: [body({ anomaly: false })] },
  'alert-fanout': { script: [body({ message_id: 'm1' })] },
  'event-bus': { script: [body({ event_id: 'e1' })] },
  'metrics-queue': { script: [body({ message_id: 'q1' })] },
}

describe('the chains of the guide', () => {
  it('a healthy reading goes through the sub-chain and falls through to the archive', async () => {
    const w = await world(guide, answers)
    const chains = await w.node()
    const id = await start(w, chains, w.memory.state, 'telemetry-processing')
    await w.env.clock.settle()

    const view = await chains.get(scope, id)
    expect(at(view, 'status')).toBe('completed')
    const steps = stepsOf(view)
    expect(Object.keys(steps)).toEqual(['normalize', 'detect-anomaly', 'publish-event', 'archive-metrics'])
    expect(steps['normalize']).toMatchObject({ status: 'completed', attempts: 1, input: reading })
    expect(steps['publish-event']).toMatchObject({
      kind: 'sub_chain',
      output: { success: true, body: { event_id: 'e1' } },
    })
    expect(w.providers['metrics-queue']!.sent.map((s) => s.request)).toEqual([
      { to: 'metrics-queue', action_id: expect.any(String), payload: { device_id: 'd1', processed: 'true' } },
    ])
    // A number that is one template stays a number, and a sub-chain's first `prev` is its parent's.
    expect(w.providers['alert-fanout']!.sent[0]!.request).toMatchObject({
      payload: { severity: 'critical', seen: { anomaly: false } },
    })
    expect(w.providers['event-bus']!.sent[0]!.request).toMatchObject({ payload: { detail: reading } })

    const child = await chains.get(scope, steps['publish-event']!['child_chain_id'] as string)
    expect(child).toMatchObject({ status: 'completed', parent_chain_id: id, parent_step: 'publish-event' })
    const kinds = (await audit(w, { chainId: id })).map(
      (r) => `${r.kind} ${r.outcome} ${(r.details as { step?: string }).step ?? ''}`,
    )
    expect(kinds.sort()).toEqual([
      'chain completed ',
      'chain_step step_completed archive-metrics',
      'chain_step step_completed detect-anomaly',
      'chain_step step_completed normalize',
      'chain_step step_completed publish-event',
    ])
  })

  it('a failed detector takes default_next, and its action is a dead letter all the same', async () => {
    const w = await world(guide, {
      ...answers,
      'anomaly-detector': { script: [new ProviderError('function_error', 'boom')] },
    })
    const chains = await w.node()
    const id = await start(w, chains, w.memory.state, 'telemetry-processing')
    await w.env.clock.settle()

    const view = await chains.get(scope, id)
    expect(at(view, 'status')).toBe('completed')
    const steps = stepsOf(view)
    expect(steps['detect-anomaly']).toMatchObject({
      status: 'failed',
      output: { success: false, body: null, error: { code: 'function_error' } },
    })
    expect(steps['publish-event']).toMatchObject({ status: 'skipped' })
    expect(steps['archive-metrics']).toMatchObject({ status: 'completed' })
    const { letters } = await listDeadLetters(w.memory.state, scope, { limit: 10 })
    expect(letters).toMatchObject([
      {
        provider: 'anomaly-detector',
        code: 'function_error',
        origin: { kind: 'chain_step', chain_id: id, step: 'detect-anomaly' },
      },
    ])
    expect(letters[0]!.id).toBe(steps['detect-anomaly']!['dead_letter_id'])
  })

  it('a detector answered by its fallback has succeeded', async () => {
    const w = await world(
      guide,
      {
        ...answers,
        'anomaly-detector': {
          script: [new ProviderError('refused', 'no', { retryable: true })],
          fallback: 'dead-letter-queue',
        },
        'dead-letter-queue': { script: [body({ message_id: 'dlq' })] },
      },
      { thresholds: { 'anomaly-detector': 1 } },
    )
    const chains = await w.node()
    const id = await start(w, chains, w.memory.state, 'telemetry-processing')
    await w.env.clock.settle()
    const steps = stepsOf(await chains.get(scope, id))
    expect(steps['detect-anomaly']).toMatchObject({
      output: { success: true, fallback: true, provider: 'dead-letter-queue', body: { message_id: 'dlq' } },
    })
    expect(steps['publish-event']).toMatchObject({ status: 'completed' })
    const records = await audit(w, { chainId: id })
    expect(records.find((r) => (r.details as { step?: string }).step === 'detect-anomaly')).toMatchObject({
      provider: 'dead-letter-queue',
      requested_provider: 'anomaly-detector',
    })
  })

  it('a failed sub-chain is the failure of the step that ran it', async () => {
    const w = await world(guide, { ...answers, 'event-bus': { script: [new ProviderError('denied', 'no')] } })
    const chains = await w.node()
    const id = await start(w, chains, w.memory.state, 'telemetry-processing')
    await w.env.clock.settle()
    const view = await chains.get(scope, id)
    expect(view).toMatchObject({ status: 'failed', last_step: 'publish-event', error: { code: 'denied' } })
    expect(w.providers['metrics-queue']!.sent).toHaveLength(0)
  })

  it('one commit a step in steady state', async () => {
    const plain = [0, 1, 2, 3].map((i) => ({ name: `s${i}`, provider: 'metrics-queue', action_type: 'x' }))
    const w = await world([{ name: 'line', steps: plain }], answers)
    let commits = 0
    const counted = {
      ...w.memory.state,
      commit: (...a: Parameters<typeof w.memory.state.commit>) => {
        commits++
        return w.memory.state.commit(...a)
      },
    }
    const chains = await w.node(counted)
    await start(w, chains, counted, 'line')
    await w.env.clock.settle()
    expect(w.providers['metrics-queue']!.sent).toHaveLength(4)
    expect(commits).toBe(5) // the start, and one for each step
  })

  it('lists newest first, by status and name, without what is redacted', async () => {
    const w = await world(guide, answers, { redacted: ['device_id'] })
    const chains = await w.node()
    const first = await start(w, chains, w.memory.state, 'telemetry-processing', actionOf(reading, 'origin-1'))
    await w.env.clock.advance(10)
    const second = await start(w, chains, w.memory.state, 'critical-alert')
    await w.env.clock.settle()
    const all = await chains.list(scope, { limit: 10 })
    expect(all.chains.map((c) => c['chain_id'])[0]).toBe(second)
    expect(all.chains).toHaveLength(3)
    const completed = await chains.list(scope, { status: 'completed', name: 'telemetry-processing', limit: 10 })
    expect(completed.chains.map((c) => c['chain_id'])).toEqual([first])
    expect((await chains.list(['iot', 'other'], { limit: 10 })).chains).toEqual([])
    expect((await chains.byAction(scope, 'origin-1')).map((c) => c['chain_name']).sort()).toEqual([
      'critical-alert',
      'telemetry-processing',
    ])
    const shown = JSON.stringify([await chains.get(scope, first), await audit(w)])
    expect(shown).not.toContain('"d1"')
    expect(shown).toContain('[REDACTED]')
  })
})
