import { describe, expect, it } from 'vitest'
import type { JsonObject } from '../../src/core/json.ts'
import { held, OK } from '../fakes/provider.ts'
import { actionOf, pullFor, scope, start, step, stepsOf, world } from './set-up.ts'

const waits = (name: string, signal = 'go', more: JsonObject = {}) => ({ name, wait_for_signal: { signal, ...more } })
const chain = (...steps: JsonObject[]) => ({ name: 'line', timeout_seconds: 1000, steps })
const said = (name: string, payload: JsonObject | string | null = null) => ({ name, payload, by: 'ann' })
const inbox = async (w: Awaited<ReturnType<typeof world>>) =>
  (await w.memory.state.list('inbox', scope, { limit: 100 })).entries

describe('a signal', () => {
  it('is taken by the step that waits for it, and what it brought is there for templates', async () => {
    const w = await world(
      [
        chain(
          waits('ask', 'approve-{{origin.payload.no}}'),
          step('tell', 'p', { payload_template: { who: '{{prev.body.by}}', ok: '{{prev.body.payload.ok}}' } }),
        ),
      ],
      { p: {} },
    )
    const chains = await w.node()
    const id = await start(w, chains, w.memory.state, 'line', actionOf({ no: 7 }))
    await w.env.clock.settle()
    expect(await chains.get(scope, id)).toMatchObject({ status: 'waiting', current_step: 'ask' })
    expect(stepsOf(await chains.get(scope, id))['ask']).toMatchObject({
      status: 'waiting',
      waits_for_signal: 'approve-7',
    })
    await chains.signal(scope, id, said('approve-8'))
    await w.env.clock.settle()
    expect(await chains.get(scope, id)).toMatchObject({ status: 'waiting' })
    expect(await chains.signal(scope, id, said('approve-7', { ok: true }))).toMatchObject({
      repeated: false,
      answer: {
        chain_id: id,
        chain_name: 'line',
        status: 'waiting',
        signal: 'approve-7',
        accepted: true,
      },
    })
    await w.env.clock.settle()
    const view = await chains.get(scope, id)
    expect(view).toMatchObject({ status: 'completed' })
    expect(stepsOf(view)['ask']).toMatchObject({
      output: { success: true, body: { signal: 'approve-7', payload: { ok: true }, by: 'ann' } },
    })
    expect(w.providers['p']!.sent[0]!.request).toMatchObject({ payload: { who: 'ann', ok: true } })
    // The one that nobody waited for goes with the end.
    expect(await inbox(w)).toEqual([])
  })

  it('that comes early is kept; each is taken once, in the order they came', async () => {
    const h = held()
    const w = await world([chain(step('first'), waits('a'), waits('b'), waits('c'), step('last'))], {
      p: { script: [h.answer, OK] },
    })
    const chains = await w.node()
    const id = await start(w, chains, w.memory.state, 'line')
    await w.env.clock.settle()
    for (const n of [1, 2]) await chains.signal(scope, id, said('go', { n }))
    await w.env.clock.settle()
    h.finish(OK)
    await w.env.clock.settle()
    expect(await chains.get(scope, id)).toMatchObject({ status: 'waiting', current_step: 'c' })
    await chains.signal(scope, id, said('go', { n: 3 }))
    await w.env.clock.settle()
    const view = await chains.get(scope, id)
    expect(view).toMatchObject({ status: 'completed' })
    expect(['a', 'b', 'c'].map((s) => (stepsOf(view)[s]!['output'] as JsonObject)['body'])).toMatchObject([
      { payload: { n: 1 } },
      { payload: { n: 2 } },
      { payload: { n: 3 } },
    ])
  })

  it('of two that come at once to one that waits, each wakes one step', async () => {
    const w = await world([chain(waits('a'), waits('b'), waits('c'))], {})
    const chains = await w.node()
    const id = await start(w, chains, w.memory.state, 'line')
    await w.env.clock.settle()
    // Said by a node that drives nothing, so that both are there when the execution is looked at.
    const asleep = await w.node({ ...w.memory.state, claim: () => Promise.resolve([]) })
    await asleep.signal(scope, id, said('go', { n: 1 }))
    await asleep.signal(scope, id, said('go', { n: 2 }))
    await chains.pull()
    await w.env.clock.settle()
    const view = await chains.get(scope, id)
    expect(view).toMatchObject({ status: 'waiting', current_step: 'c' })
    await chains.signal(scope, id, said('go', { n: 3 }))
    await w.env.clock.settle()
    expect(await chains.get(scope, id)).toMatchObject({ status: 'completed' })
  })

  it('goes to the one that has waited longest where several wait', async () => {
    const w = await world(
      [
        {
          name: 'line',
          steps: [
            { name: 'a', needs: [], wait_for_signal: { signal: 'go' } },
            { name: 'b', needs: [], wait_for_signal: { signal: 'go' } },
            { name: 'c', needs: ['a'], wait_for_signal: { signal: 'go' } },
          ],
        },
      ],
      {},
    )
    const chains = await w.node()
    const id = await start(w, chains, w.memory.state, 'line')
    await w.env.clock.settle()
    const bodies = async () => {
      const steps = stepsOf(await chains.get(scope, id))
      return ['a', 'b', 'c'].map((s) => ((steps[s]!['output'] as JsonObject)?.['body'] as JsonObject)?.['payload'])
    }
    await chains.signal(scope, id, said('go', '1'))
    await w.env.clock.settle()
    expect(await bodies()).toEqual(['1', undefined, undefined])
    await chains.signal(scope, id, said('go', '2'))
    await w.env.clock.settle()
    await chains.signal(scope, id, said('go', '3'))
    await w.env.clock.settle()
    expect(await bodies()).toEqual(['1', '2', '3'])
    expect(await chains.get(scope, id)).toMatchObject({ status: 'completed' })
  })

  it('reaches members of a group', async () => {
    const w = await world(
      [chain({ name: 'both', parallel: { branches: [waits('a', 'one'), waits('b', 'two')] } }, step('after'))],
      { p: {} },
    )
    const chains = await w.node()
    const id = await start(w, chains, w.memory.state, 'line')
    await w.env.clock.settle()
    expect(await chains.get(scope, id)).toMatchObject({ status: 'waiting' })
    await chains.signal(scope, id, said('two', 'x'))
    await chains.signal(scope, id, said('one', 'y'))
    await w.env.clock.settle()
    const view = await chains.get(scope, id)
    expect(view).toMatchObject({ status: 'completed' })
    expect(stepsOf(view)['both']).toMatchObject({
      output: { body: { a: { body: { payload: 'y' } }, b: { body: { payload: 'x' } } } },
    })
  })

  it('from another node reaches an execution that a node drives', async () => {
    const h = held()
    const w = await world(
      [
        {
          name: 'line',
          steps: [
            { ...step('slow'), needs: [] },
            { name: 'ask', needs: [], wait_for_signal: { signal: 'go' } },
            { ...step('told', 'q'), needs: ['ask'] },
          ],
        },
      ],
      { p: { script: [h.answer], timeoutMs: 60_000 }, q: {} },
    )
    const chains = await w.node()
    const other = await w.node()
    const id = await start(w, chains, w.memory.state, 'line')
    await w.env.clock.settle()
    await other.signal(scope, id, said('go'))
    await w.env.clock.advance(5000)
    expect(w.providers['q']!.sent).toHaveLength(1)
    h.finish(OK)
    await w.env.clock.settle()
    expect(await chains.get(scope, id)).toMatchObject({ status: 'completed' })
  })

  it('is refused once the execution has ended, and nothing of it is kept', async () => {
    const h = held()
    const w = await world([chain(step('one'))], { p: { script: [h.answer] } })
    const chains = await w.node()
    const id = await start(w, chains, w.memory.state, 'line')
    await w.env.clock.settle()
    // It ends between the look and the commit.
    const late = await w.node({
      ...w.memory.state,
      async commit(...a) {
        h.finish(OK)
        await w.env.clock.settle()
        return w.memory.state.commit(...a)
      },
    })
    await expect(late.signal(scope, id, said('go'))).rejects.toMatchObject({ status: 409, code: 'chain_ended' })
    await expect(chains.signal(scope, id, said('go'))).rejects.toMatchObject({ status: 409, code: 'chain_ended' })
    await expect(chains.signal(scope, 'nothing', said('go'))).rejects.toMatchObject({ status: 404 })
    expect(await inbox(w)).toEqual([])
  })

  it('is refused when a thousand wait, or ten million bytes of them', async () => {
    const w = await world([chain(waits('a', 'never'))], {})
    const chains = await w.node({ ...w.memory.state, claim: () => Promise.resolve([]) })
    const many = await start(w, chains, w.memory.state, 'line')
    const big = await start(w, chains, w.memory.state, 'line')
    await w.env.clock.settle()
    const put = (n: number) =>
      w.memory.state.commit(
        scope,
        Array.from({ length: n }, (_, i) => ({
          op: 'put' as const,
          kind: 'inbox',
          id: `${many}/said/${i}`,
          value: JSON.stringify({ type: 'signal', name: 'x', payload: null, by: 'ann', at: 0 }),
          version: `v${i}`,
        })),
      )
    await put(999)
    await chains.signal(scope, many, said('x'))
    await expect(chains.signal(scope, many, said('x'))).rejects.toMatchObject({ status: 409, code: 'inbox_full' })
    const mega = 'x'.repeat(1024 * 1024)
    for (let i = 0; i < 9; i++) await chains.signal(scope, big, said('x', mega))
    await expect(chains.signal(scope, big, said('x', mega))).rejects.toMatchObject({ code: 'inbox_full' })
    await chains.signal(scope, big, said('x', 'small'))
  })
})

describe('a signal and its time limit', () => {
  const timed = (on_timeout?: string) => ({
    ...waits('ask', 'go', { timeout_seconds: 60, ...(on_timeout && { on_timeout }) }),
  })

  it('fails, goes on or goes elsewhere when nobody has said anything in time', async () => {
    const w = await world(
      [
        { name: 'fails', steps: [timed(), step('next')] },
        { name: 'continues', steps: [timed('continue'), step('next')] },
        { name: 'goes', steps: [timed('goto:other'), step('next'), { ...step('other', 'q') }] },
      ],
      { p: {}, q: {} },
    )
    const chains = await w.node()
    const ids = []
    for (const name of ['fails', 'continues', 'goes']) ids.push(await start(w, chains, w.memory.state, name))
    await w.env.clock.advance(59_000)
    await chains.pull()
    await w.env.clock.settle()
    expect((await chains.list(scope, { status: 'waiting', limit: 9 })).chains).toHaveLength(3)
    await pullFor(w, chains, 10)
    const [fails, continues, goes] = await Promise.all(ids.map((id) => chains.get(scope, id)))
    expect(fails).toMatchObject({ status: 'failed', error: { code: 'signal_timeout' } })
    expect(continues).toMatchObject({ status: 'completed' })
    expect(stepsOf(continues)['ask']).toMatchObject({ output: { success: true, body: { timed_out: true } } })
    expect(goes).toMatchObject({ status: 'completed' })
    expect(stepsOf(goes)['next']).toMatchObject({ status: 'skipped' })
    expect(w.providers['p']!.sent).toHaveLength(1)
    expect(w.providers['q']!.sent).toHaveLength(1)
  })

  it('said in time counts, though nobody looked until after; said too late does not', async () => {
    const group = { name: 'g', parallel: { branches: [waits('in')] }, timeout_seconds: 60, on_failure: 'continue' }
    const w = await world([chain(timed('continue')), { name: 'group', steps: [group] }], {})
    const chains = await w.node()
    const early = await start(w, chains, w.memory.state, 'line')
    const late = await start(w, chains, w.memory.state, 'line')
    const grouped = await start(w, chains, w.memory.state, 'group')
    await w.env.clock.settle()
    await chains.stop()
    const asleep = await w.node({ ...w.memory.state, claim: () => Promise.resolve([]) })
    await w.env.clock.advance(59_000)
    await asleep.signal(scope, early, said('go', 'in time'))
    await w.env.clock.advance(2000)
    for (const id of [late, grouped]) await asleep.signal(scope, id, said('go', 'too late'))
    const second = await w.node()
    await second.pull()
    await w.env.clock.settle()
    expect(stepsOf(await second.get(scope, early))['ask']).toMatchObject({ output: { body: { payload: 'in time' } } })
    expect(stepsOf(await second.get(scope, late))['ask']).toMatchObject({ output: { body: { timed_out: true } } })
    expect(stepsOf(await second.get(scope, grouped))['g']).toMatchObject({ output: { error: { code: 'timed_out' } } })
    expect(await inbox(w)).toEqual([])
  })

  it('said in time, while one that gives up waiting for it reads its inbox or is on its way to commit, is taken', async () => {
    const limit = { timeout_seconds: 10 }
    const chainsOfSteps = [
      [waits('ask', 'go', limit), step('last')],
      [{ name: 'g', parallel: { branches: [waits('in')] }, ...limit, on_failure: 'continue' }, step('last')],
      [waits('ask')],
    ]
    // Or just when the inbox has been read for the last time before that commit.
    const moments = chainsOfSteps.flatMap((steps) => [
      { steps, read: 0 },
      { steps, read: 2 },
    ])
    for (const { steps, read } of moments) {
      const w = await world([{ name: 'line', timeout_seconds: steps.length > 1 ? 1000 : 10, steps }], { p: {} })
      let between: (() => Promise<unknown>) | undefined
      let reads = 0
      const chains = await w.node({
        ...w.memory.state,
        async list(...a) {
          const page = await w.memory.state.list(...a)
          if (between && a[0] === 'inbox' && ++reads === read) {
            await between()
            between = undefined
          }
          return page
        },
        async commit(...[s, ops, o]: Parameters<typeof w.memory.state.commit>) {
          const act = read === 0 && ops.some((op) => op.op === 'put' && op.kind === 'run') ? between : undefined
          if (act) between = undefined
          await act?.()
          return w.memory.state.commit(s, ops, o)
        },
      })
      const other = await w.node()
      const id = await start(w, chains, w.memory.state, 'line')
      await w.env.clock.advance(9999)
      // At the last moment, which counts.
      between = () => other.signal(scope, id, said('go', 'yes'))
      await w.env.clock.advance(1)
      await chains.pull()
      for (let i = 0; i < 3; i++) await w.env.clock.settle()
      expect(between).toBeUndefined()
      expect(await other.get(scope, id)).toMatchObject({ status: 'completed' })
      expect((await w.memory.state.list('signal_came', scope, { limit: 9 })).entries.length).toBeLessThan(2)
      await other.purge(scope, w.env.clock.now() + 1, 9)
      expect((await w.memory.state.list('signal_came', scope, { limit: 9 })).entries).toEqual([])
    }
  })

  it('said by another node just before the limit counts for an execution that is acting elsewhere', async () => {
    const h = held()
    const w = await world(
      [
        {
          name: 'line',
          steps: [
            { ...step('slow'), needs: [] },
            { name: 'ask', needs: [], wait_for_signal: { signal: 'go', timeout_seconds: 12, on_timeout: 'continue' } },
          ],
        },
      ],
      { p: { script: [h.answer], timeoutMs: 60_000 } },
    )
    const chains = await w.node()
    const other = await w.node()
    const id = await start(w, chains, w.memory.state, 'line')
    await w.env.clock.advance(11_000)
    await other.signal(scope, id, said('go', 'in time'))
    await w.env.clock.advance(2000)
    expect(stepsOf(await chains.get(scope, id))['ask']).toMatchObject({ output: { body: { payload: 'in time' } } })
    h.finish(OK)
    await w.env.clock.settle()
    expect(await chains.get(scope, id)).toMatchObject({ status: 'completed' })
  })
})
