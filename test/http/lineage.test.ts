import { describe, expect, test } from 'vitest'
import type { JsonObject } from '../../src/core/json.ts'
import { lineageSigner } from '../../src/core/lineage.ts'
import { rule } from '../dispatch/build.ts'
import { left, loopWorld } from '../dispatch/loop-world.ts'

const ORIGIN = '019b8d8e-0000-7000-8000-000000000001'
const toOther = rule('to-other', 5, '{ type: reroute, target_provider: other }', '{ field: action.action_type, eq: a }')
const world = async () => {
  const w = await loopWorld([toOther])
  const lineage = w.g.signer.sign({ origin: ORIGIN, passed: ['rule:to-other'], hops: 2 })
  return { ...w, lineage }
}
const forged = lineageSigner('the secret of somebody else').sign({ origin: ORIGIN, passed: [], hops: 0 })

describe('a lineage that comes in', () => {
  test('as the header of one action and of a batch, one hop further', async () => {
    const { g, hook, send, lineage, lineageOf } = await world()
    await send('b', {}, { 'signalbox-lineage': lineage })
    const items = [{ action_type: 'b', provider: 'hook' }]
    await g.ask('POST', '/v1/dispatch/batch', { actions: items }, { 'Signalbox-Lineage': lineage })
    for (const sent of hook.sent)
      expect(lineageOf(sent)).toEqual({ origin: ORIGIN, passed: ['rule:to-other'], hops: 3 })
    expect(hook.sent).toHaveLength(2)
  })

  test('in the metadata, each item of a batch its own, and is taken out of it', async () => {
    const { g, send, lineage } = await world()
    const metadata = { zone: 'north', signalbox_lineage: lineage }
    expect((await send('a', { metadata })).status).toBe(508)
    const batch = await g.ask('POST', '/v1/dispatch/batch', [
      { action_type: 'a', provider: 'hook', metadata },
      { action_type: 'a', provider: 'hook', metadata: { zone: 'north' } },
    ])
    expect(batch.body['results']).toMatchObject([{ status: 508 }, { status: 200 }])
    expect((await g.records()).map((r) => r['metadata'])).toEqual(Array.from({ length: 3 }, () => ({ zone: 'north' })))
  })

  test('as both: the longer counts', async () => {
    const { g, hook, send, lineage, lineageOf } = await world()
    const shorter = g.signer.sign({ origin: ORIGIN, passed: [], hops: 1 })
    await send('b', { metadata: { signalbox_lineage: shorter } }, { 'signalbox-lineage': lineage })
    await send('b', { metadata: { signalbox_lineage: lineage } }, { 'signalbox-lineage': shorter })
    expect(hook.sent.map((s) => lineageOf(s).hops)).toEqual([3, 3])
  })

  test('and is not signed here is none: a warning, and the action is a new one', async () => {
    const { g, hook, other, send, lineageOf } = await world()
    const headers = { 'signalbox-lineage': forged }
    const told = await send('b', {}, headers)
    expect([told.status, told.body['warnings']]).toEqual([
      200,
      ['the header Signalbox-Lineage was not signed by this gateway; it is ignored'],
    ])
    expect(lineageOf(hook.sent[0])).toEqual({ origin: told.body['run_id'], passed: [], hops: 0 })

    const metadata = { signalbox_lineage: forged }
    const left = await send('a', { id: 'm', metadata })
    expect([left.status, left.body['warnings']]).toEqual([
      200,
      ['metadata.signalbox_lineage was not signed by this gateway; it is metadata like any other'],
    ])
    expect(other.sent).toHaveLength(1)
    const { body } = await g.ask('GET', '/v1/audit/m')
    expect(body['records']).toMatchObject([{ metadata, details: { warnings: left.body['warnings'] } }])

    const both = await send('b', { metadata }, headers)
    expect(both.body['warnings']).toHaveLength(2)
    const lines = g.env.logged.filter((l) => l.message.includes('lineage'))
    expect(lines.map((l) => l.fields)).toEqual(['header', 'metadata', 'header', 'metadata'].map((where) => ({ where })))
    expect(JSON.stringify(lines)).not.toContain(forged)
  })

  test.each(['', 'v1', 'nonsense', 'v1.e30.e30', 'a'.repeat(7000), 'v1.a.b, v1.c.d'])(
    'and is no lineage at all is no error: %#',
    async (text) => {
      const { send } = await world()
      const told = await send('b', { metadata: { signalbox_lineage: text } }, { 'signalbox-lineage': text })
      expect(told.status).toBe(200)
      expect(told.body['warnings']).toHaveLength(2)
    },
  )

  test('is asked about too: dry run and evaluate warn alike', async () => {
    const { g } = await world()
    const action = { action_type: 'b', provider: 'hook', metadata: { signalbox_lineage: forged } }
    const dry = await g.dispatch(action, {}, '?dry_run=true')
    const asked = await g.ask('POST', '/v1/rules/evaluate', { action })
    expect(asked.body['warnings']).toEqual(dry.body['warnings'])
    expect(dry.body['warnings']).toHaveLength(1)
  })

  test('PITFALLS 15: nothing in a payload or in other metadata is believed', async () => {
    const { hook, send, lineage, lineageOf } = await world()
    const told = await send('b', {
      payload: { lineage, signalbox_lineage: lineage, metadata: { signalbox_lineage: lineage } },
      metadata: { lineage, 'Signalbox-Lineage': lineage },
    })
    expect(lineageOf(hook.sent[0])).toEqual({ origin: told.body['run_id'], passed: [], hops: 0 })
    expect((left(hook.sent[0]).payload as JsonObject)['signalbox_lineage']).toBe(lineage)
    const refused = await send('b', { lineage: { hops: 0 } })
    expect([refused.status, refused.body['code']]).toEqual([400, 'invalid_action'])
  })
})
