import { describe, expect, it } from 'vitest'
import { parseChainDefinitions } from '../../src/chains/definitions/parse.ts'
import type { ChainDefinition } from '../../src/chains/model/definition.ts'
import { dagOf } from '../../src/chains/views/dag.ts'
import { mermaidOf } from '../../src/chains/views/mermaid.ts'
import type { JsonObject } from '../../src/core/json.ts'
import { OK } from '../fakes/provider.ts'
import { at, choice, letters, line, quiet, ran, scope, start, step, stepsOf, tests, world } from './set-up.ts'

const undo = { compensate: { provider: 'undo', action_type: 'undo' } }
const asks: readonly JsonObject[] = [
  step('reserve', 'p', undo),
  {
    name: 'ask',
    wait_for_signal: { signal: 'answer', timeout_seconds: 50, on_timeout: 'goto:refused' },
    branches: [{ field: 'body.payload', operator: 'eq', value: true, target: 'ship' }],
    default_next: 'refused',
  },
  { name: 'refused', end: { status: 'failed', code: 'not_approved', message: 'refused by {{steps.ask.body.by}}' } },
  step('ship', 'ship'),
]
const read = (steps: readonly object[]) => parseChainDefinitions([{ name: 'c', steps }], { providers: ['p'], tests })

describe('an end step', () => {
  it('fails the execution with its code and message, and what was done is undone', async () => {
    const w = await world([line(...asks)], { p: {}, ship: {}, undo: {} })
    const chains = await w.node()
    const id = await start(w, chains, w.memory.state, 'line')
    await quiet(w)
    await chains.signal(scope, id, { name: 'answer', payload: false, by: 'ann' })
    await quiet(w)
    const view = await chains.get(scope, id)
    expect(view).toMatchObject({
      status: 'compensated',
      error: { code: 'not_approved', message: 'refused by ann' },
      last_step: 'refused',
    })
    expect(stepsOf(view)).toMatchObject({
      reserve: { compensated: true },
      refused: { kind: 'end', status: 'failed' },
      ship: { status: 'skipped' },
    })
    expect(await letters(w)).toEqual([])
  })

  it('nothing of it where a branch leads past it; and what could not be undone may be gone back from by a reset', async () => {
    const w = await world([line(...asks.map((s) => ({ ...s, compensate: undefined }) as unknown as JsonObject))], {
      p: {},
      ship: {},
      undo: {},
    })
    const chains = await w.node()
    const answers = async (id: string, payload: boolean) => {
      await quiet(w)
      await chains.signal(scope, id, { name: 'answer', payload, by: 'ann' })
      await quiet(w)
      return at(await chains.get(scope, id), 'status')
    }
    expect(await answers(await start(w, chains, w.memory.state, 'line'), true)).toBe('completed')
    const id = await start(w, chains, w.memory.state, 'line')
    expect(await answers(id, false)).toBe('failed')
    await chains.retry(scope, id, 'ann')
    await quiet(w)
    expect(await chains.get(scope, id)).toMatchObject({ status: 'failed', error: { code: 'not_approved' } })
    await chains.reset(scope, id, { step: 'ask', by: 'ann' })
    expect(await answers(id, true)).toBe('completed')
    expect(w.providers['ship']!.sent).toHaveLength(2)
  })

  it('completes it before the end of the file, with what the step before gave', async () => {
    const w = await world(
      [
        { name: 'outer', steps: [{ name: 'sub', sub_chain: 'line' }, step('last', 'last')] },
        line(
          step('look', 'p'),
          choice('enough', { field: 'prev.body.n', gt: 3 }, 'done', 'more'),
          { name: 'done', end: { status: 'completed' } },
          step('more', 'more'),
        ),
      ],
      { p: { script: [{ status: 200, body: { n: 4 } }] }, more: { script: [OK] }, last: {} },
    )
    const view = await ran(w, 'outer')
    expect(view).toMatchObject({ status: 'completed' })
    expect(stepsOf(view)['sub']).toMatchObject({ output: { success: true, body: { holds: true } } })
    expect(w.providers['more']!.sent).toEqual([])
  })

  it('is a way out of a loop, and what follows it in the file is reached by others only', () => {
    const again = { branches: [{ field: 'success', operator: 'eq', value: true, target: 'a' }], default_next: 'stop' }
    const stop = { name: 'stop', end: { status: 'completed' } }
    expect(read([step('a', 'p', again), stop]).issues).toEqual([])
    expect(read([step('a'), stop, step('b')]).issues.map((i) => i.message)).toEqual(['no step leads to "b"'])
  })

  it.each<[string, object, readonly string[]]>([
    ['how it ends', { end: {} }, ['end/status']],
    ['an end of its own', { end: { status: 'cancelled' } }, ['end/status']],
    ['no code', { end: { status: 'failed' } }, ['end/code']],
    ['a code in words', { end: { status: 'failed', code: 'Not approved' } }, ['end/code']],
    ['an error that is none', { end: { status: 'completed', code: 'x', message: 'y' } }, ['end/code', 'end/message']],
    ['an unknown name', { end: { status: 'failed', code: 'x', message: '{{steps.b.body}}' } }, ['end/message']],
    [
      'policies of attempts',
      { end: { status: 'completed' }, retry: { max_attempts: 2 }, on_failure: 'continue', default_next: 'a', ...undo },
      ['compensate', 'default_next', 'on_failure', 'retry'],
    ],
  ])('is refused with %s, and where', (_, own, paths) => {
    const { issues } = read([step('a'), { name: 'stop', ...own }])
    expect(issues.map((i) => i.path.slice(3).join('/')).sort()).toEqual(paths)
  })

  it('has no place in a graph, nor inside a group', () => {
    const stop = { name: 'stop', end: { status: 'completed' } }
    expect(read([{ ...step('a'), needs: [] }, stop]).issues.map((i) => i.message)).toEqual([
      'a chain with needs is a graph: an end step has no place in it',
    ])
    expect(read([{ name: 'g', parallel: { branches: [stop] } }]).issues[0]!.message).toContain('this one has end')
  })

  it('is a node of its own, and leads to the end', () => {
    const dag = dagOf(
      read([step('a'), { name: 'no', end: { status: 'failed', code: 'not_approved' } }])
        .definitions[0] as ChainDefinition,
    )
    expect(dag.nodes[1]).toEqual({ id: 'no', name: 'no', kind: 'end' })
    expect(dag.edges[1]).toEqual({ from: 'no', to: null, kind: 'end', label: 'failed: not_approved' })
    expect(mermaidOf(dag)).toContain('n1((("no<br/>end")))\n')
    expect(mermaidOf(dag)).toContain('n1 -->|"failed: not_approved"| finish')
  })
})
