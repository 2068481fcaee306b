import { describe, expect, it } from 'vitest'
import type { ChainEvent } from '../../src/chains/model/happening.ts'
import { evolve, fold } from '../../src/chains/model/history.ts'
import { readHistory } from '../../src/chains/model/history-pages.ts'
import { readRun } from '../../src/chains/model/loaded.ts'
import type { Run } from '../../src/chains/model/run.ts'
import { isoTime } from '../../src/core/clock.ts'
import { isObject, type Json, type JsonObject } from '../../src/core/json.ts'
import type { StateStore } from '../../src/core/state.ts'
import { testEnv } from '../fakes/env.ts'
import { crashing, memoryState } from '../fakes/store.ts'
import { chains, everything, play } from './everything.ts'
import { line, quiet, scope, start, step, world } from './set-up.ts'
import { watched } from './watch.ts'

async function stored(state: StateStore, id: string) {
  const entries = []
  for await (const e of readHistory(state, scope, id)) entries.push(e)
  const [entry] = await state.get([{ kind: 'run', scope, id }])
  return { entries, run: readRun(entry!.value) }
}

describe('history', () => {
  it.each(chains)('its fold is the stored record, of %s and of its sub-chains, whoever wrote it', async (name) => {
    const given = await everything()
    const { state } = given.w.memory
    const dying = crashing(state, 9, 'after')
    await play(given, name, await given.w.node(dying), dying)
    const second = await given.w.node()
    await play(given, name, second, state, 200)
    const all = (await second.list(scope, { limit: 10 })).chains
    expect(all.length).toBeGreaterThan(name === 'graph' ? 0 : 1)
    for (const view of all) {
      const { entries, run } = await stored(state, view['chain_id'] as string)
      expect(entries.map((e) => e.seq)).toEqual(entries.map((_, i) => i))
      expect(
        JSON.parse(
          JSON.stringify(
            fold(
              entries.flatMap((e) => e.events),
              entries.length - 1,
            ),
          ),
        ),
      ).toEqual(run)
    }
  })

  it.each(chains)(
    'is shown in the names and times of the wire, of %s, without what only the fold needs',
    async (name) => {
      const given = await everything()
      const node = await given.w.node()
      await play(given, name, node, given.w.memory.state)
      const types = new Set<Json>()
      const look = (v: Json, key: string): void => {
        if (typeof v === 'number') expect(v, key).toBeLessThan(1e9)
        if (Array.isArray(v)) for (const x of v as readonly Json[]) look(x, key)
        if (!isObject(v)) return
        for (const [k, x] of Object.entries(v)) {
          expect(k).toMatch(/^[a-z]+(_[a-z]+)*$/)
          expect([
            'v',
            'open',
            'entered',
            'bytes',
            'deadline',
            'child',
            'until',
            'lock',
            'under',
            'cause',
          ]).not.toContain(k)
          look(x, k)
        }
      }
      for (const { chain_id } of (await node.list(scope, { limit: 10 })).chains) {
        const stored: ChainEvent[] = []
        for await (const e of readHistory(given.w.memory.state, scope, chain_id as string)) stored.push(...e.events)
        const page = await node.history(scope, chain_id as string, { limit: 1000 })
        const shown = page!.entries.flatMap((e) => e['events'] as readonly JsonObject[])
        expect(shown.map((e) => [e['type'], e['at']])).toEqual(stored.map((e) => [e.type, isoTime(e.at)]))
        for (const event of shown) {
          types.add(event['type']!)
          look(event, '')
        }
      }
      expect([...types]).toEqual(expect.arrayContaining(['started', 'began', 'step_entered', 'step_ended', 'ended']))
    },
  )

  it('only grows: what was written stays as it was written, also after the execution was brought back', async () => {
    const w = await world([line(step('one'), { name: 'ask', wait_for_signal: { signal: 'go', timeout_seconds: 5 } })], {
      p: {},
    })
    const node = await w.node()
    const id = await start(w, node, w.memory.state, 'line')
    await quiet(w)
    const early = (await stored(w.memory.state, id)).entries
    await w.env.clock.advance(6000)
    const ended = (await stored(w.memory.state, id)).entries
    await node.retry(scope, id, 'ann')
    await quiet(w)
    const late = (await stored(w.memory.state, id)).entries
    expect(ended.slice(0, early.length)).toEqual(early)
    expect(late.slice(0, ended.length)).toEqual(ended)
    expect([early.length, ended.length, late.length]).toEqual([2, 3, expect.any(Number)])
    const page = await node.history(scope, id, { limit: 2, after: '0' })
    expect(page).toMatchObject({ entries: [{ seq: 1 }, { seq: 2 }], next: '2' })
  })

  it('an event of something that is not open changes nothing', () => {
    const run = {
      status: 'running',
      open: [],
      entered: {},
      done: [],
      failures: [],
      taken: 0,
      bytes: 0,
    } as unknown as Run
    for (const event of [
      { type: 'step_attempted', step: 'x', attempt: 1 },
      { type: 'step_backed_off', step: 'x', not_before: 5 },
      { type: 'group_stopped', step: 'x', why: 'join' },
      { type: 'step_stopping', step: 'x' },
      { type: 'step_dropped', step: 'x' },
    ] as const)
      expect(evolve(run, { at: 1, ...event })).toEqual(run)
  })
})

describe('the watch over every commit of these tests', () => {
  it('sees a record that is not the fold of its history, and an end that is not final', async () => {
    const { state } = await memoryState(testEnv())
    const watch = watched(state, () => {})
    const w = await world([line(step('one'))], { p: {} })
    const id = await start(w, await w.node(), w.memory.state, 'line')
    await quiet(w)
    const { entries, run } = await stored(w.memory.state, id)
    const put = (of: object, seq: number, events: object) =>
      watch.store.commit(scope, [
        {
          op: 'put',
          kind: 'run',
          id,
          value: JSON.stringify(of),
          version: `v${seq}`,
          expiresAt: Number.MAX_SAFE_INTEGER,
        },
        {
          op: 'put',
          kind: 'history',
          id: `${id}/${String(seq).padStart(7, '0')}`,
          value: JSON.stringify(events),
          version: `v${seq}`,
        },
      ])
    await put(
      { ...run, seq: 0 },
      0,
      entries.flatMap((e) => e.events),
    )
    expect(watch.wrong.filter((x) => !x.includes('without its result'))).toEqual([])
    await put({ ...run, seq: 1, taken: 7 }, 1, [{ at: 1, type: 'paused', by: 'ann' }])
    expect(watch.wrong.join('\n')).toContain('it had ended, and then paused')
    expect(watch.wrong.join('\n')).toContain('is not the record')
  })
})
