import { describe, expect, it } from 'vitest'
import { GLOBAL } from '../../../src/core/action.ts'
import { StateUnavailable, StateUnknown } from '../../../src/core/errors.ts'
import type { Op, StateStore } from '../../../src/core/state.ts'
import { crashing } from '../../fakes/store.ts'
import { type OpenState, subject } from './subject.ts'

/** Every operation when its answer is lost after the store acted: the caller is told "unknown", one read tells, and asking again does no harm. */
export function lossesContract(open: OpenState): void {
  describe('lost answers', () => {
    const s = subject(open)
    const lost = (ops: Op[]) => s.losing('commit', (state) => state.commit(s.scope, ops))

    it('PITFALLS 61: our own put-if-absent comes back taken, with our version', async () => {
      const op = s.put('a', { version: 'mine', ifVersion: null })
      await expect(lost([op])).rejects.toThrow(StateUnknown)
      expect((await s.get('a'))?.version).toBe('mine')
      expect(await s.no(op)).toMatchObject({ at: 0, saw: { version: 'mine' } })
    })
    it('a compare-and-set that was lost has happened once', async () => {
      await s.ok(s.put('a', { version: 'v1' }))
      const op = s.put('a', { version: 'v2', ifVersion: 'v1' })
      await expect(lost([op])).rejects.toThrow(StateUnknown)
      expect((await s.no(op)).saw?.version).toBe('v2')
    })
    it('PITFALLS 61: a guard may stay counted, never uncounted; the put beside it tells which', async () => {
      const ops: Op[] = [
        s.put('run', { version: 'mine', ifVersion: null }),
        { op: 'count', id: 'n', by: 1, limit: 5, expiresAt: 1e15 },
        { op: 'admit', id: 'w', max: 5, windowMs: 1000 },
      ]
      await expect(lost(ops)).rejects.toThrow(StateUnknown)
      expect((await s.no(...ops)).saw?.version).toBe('mine')
      expect(await s.state.peek('count', s.scope, ['n'])).toMatchObject([{ n: 1 }])
      expect(await s.state.peek('admit', s.scope, ['w'])).toMatchObject([{ n: 1 }])
    })
    it('an append, a slot and a record repeated after a loss are once', async () => {
      const append: Op = {
        op: 'append',
        id: 'b',
        itemId: 'i',
        item: 'x',
        value: '{}',
        maxItems: 9,
        maxBytes: 99,
        waitMs: 9,
        intervalMs: 9,
        into: { kind: s.kind, idPrefix: 'f' },
      }
      const slot: Op = { op: 'slot', id: 's', holder: 'me', max: 1, until: s.clock.now() + 1000 }
      await expect(lost([append, slot])).rejects.toThrow(StateUnknown)
      expect(await s.ok(append, slot)).toMatchObject([{ n: 1, skipped: true }, { n: 1 }])
      const seal: Op = { op: 'seal', id: 'b', into: { kind: s.kind, idPrefix: 'f' } }
      await expect(lost([seal])).rejects.toThrow(StateUnknown)
      expect(await s.ok(seal)).toEqual([{ skipped: true }])
      expect((await s.state.list(s.kind, s.scope, { limit: 9 })).entries).toHaveLength(1)
    })
    it('a claim that was lost comes back when its time is over', async () => {
      await s.ok(s.put('a', { dueAt: s.clock.now() }))
      const claim = s.losing('claim', (state) => state.claim(s.kind, { owner: 'w', leaseMs: 100, limit: 9 }))
      await expect(claim).rejects.toThrow(StateUnknown)
      expect(await s.claim()).toEqual([])
      await s.clock.advance(100)
      expect(await s.claim()).toMatchObject([{ attempts: 2 }])
    })
    it('every op whose answer was lost was done, once and whole, and the store works on', async () => {
      const now = s.clock.now()
      await s.ok(
        s.put('deleted'),
        s.put('woken', { dueAt: now + 5000 }),
        s.put('touched', { dueAt: now }),
        s.put('handed back', { dueAt: now }),
        { op: 'count', id: 'n', by: 1, expiresAt: 1e15 },
      )
      const claims = await s.claim()
      const ref = (id: string) => {
        const { owner, number } = claims.find((c) => c.key.id === id)!.claim
        return { owner, number }
      }
      const { kind } = s
      await expect(lost([{ op: 'delete', kind, id: 'deleted' }])).rejects.toThrow(StateUnknown)
      await expect(lost([{ op: 'wake', kind, id: 'woken' }])).rejects.toThrow(StateUnknown)
      await expect(
        lost([{ op: 'touch', kind, id: 'touched', ifClaim: ref('touched'), until: now + 7000 }]),
      ).rejects.toThrow(StateUnknown)
      await expect(
        lost([{ op: 'touch', kind, id: 'handed back', ifClaim: ref('handed back'), dueAt: now + 50 }]),
      ).rejects.toThrow(StateUnknown)
      await expect(lost([{ op: 'count', id: 'n', by: 2, expiresAt: 1e15 }])).rejects.toThrow(StateUnknown)
      await expect(lost([{ op: 'admit', id: 'w', max: 5, windowMs: 1000 }])).rejects.toThrow(StateUnknown)
      await expect(
        lost([s.put('born', { ifVersion: null, claim: { owner: 'me', until: now + 900 }, tags: ['t'] })]),
      ).rejects.toThrow(StateUnknown)
      // A refusal that was lost has done nothing.
      await expect(lost([s.put('refused'), s.put('born', { ifVersion: null })])).rejects.toThrow(StateUnknown)

      expect(await s.get('deleted')).toBeUndefined()
      expect(await s.get('woken')).toMatchObject({ dueAt: now })
      expect(await s.get('touched')).toMatchObject({ dueAt: now + 7000, claim: { until: now + 7000 } })
      expect((await s.get('handed back'))?.claim).toBeUndefined()
      expect(await s.get('handed back')).toMatchObject({ dueAt: now + 50 })
      expect(await s.state.peek('count', s.scope, ['n'])).toMatchObject([{ n: 3 }])
      expect(await s.state.peek('admit', s.scope, ['w'])).toMatchObject([{ n: 1 }])
      expect(await s.get('born')).toMatchObject({ tags: ['t'], claim: { owner: 'me', until: now + 900 } })
      expect(await s.get('refused')).toBeUndefined()
    })
    it('a commit lost among others that travel with it: each is done once, and its caller is told that nobody knows', async () => {
      const all = await s.losing('commit', async (state) =>
        Promise.allSettled(
          Array.from({ length: 20 }, (_, i) =>
            state.commit(s.scope, [
              s.put(`e${i}`, { ifVersion: null }),
              { op: 'count', id: 'n', by: 1, expiresAt: 1e15 },
            ]),
          ),
        ),
      )
      for (const one of all) if (one.status === 'rejected') expect(one.reason).toBeInstanceOf(StateUnknown)
      expect(all.some((one) => one.status === 'rejected')).toBe(true)
      const { entries } = await s.state.list(s.kind, s.scope, { limit: 99 })
      expect(await s.state.peek('count', s.scope, ['n'])).toMatchObject([{ n: entries.length }])
      expect(entries.length).toBe(20)
    })
    it('what only reads, and whose answer was lost, has done nothing: it says so, and answers when asked again', async () => {
      await s.ok(s.put('a', { dueAt: s.clock.now() }))
      const reads: readonly ((state: StateStore) => Promise<unknown>)[] = [
        (state) => state.get([{ kind: s.kind, scope: s.scope, id: 'a' }]),
        (state) => state.list(s.kind, s.scope, { limit: 9 }),
        (state) => state.scopes(s.kind, { limit: 9 }),
        (state) => state.peek('count', s.scope, ['n']),
        (state) => state.nextDue(s.kind),
        (state) => state.depths(),
      ]
      for (const read of reads) {
        await expect(s.losing('read', read)).rejects.toThrow(StateUnavailable)
        await read(s.state)
      }
    })
    it('the crash modes: before wrote nothing, after and reply-lost wrote, and then the process is dead', async () => {
      for (const [when, error, written] of [
        ['before', StateUnavailable, false],
        ['after', StateUnavailable, true],
        ['reply-lost', StateUnknown, true],
      ] as const) {
        const mortal = crashing(s.state, 2, when)
        await mortal.commit(s.scope, [s.put(`${when} 1`)])
        await expect(mortal.commit(s.scope, [s.put(`${when} 2`)])).rejects.toThrow(error)
        await mortal.dropped
        await expect(mortal.commit(s.scope, [s.put(`${when} 3`)])).rejects.toThrow(StateUnavailable)
        await expect(mortal.get([])).rejects.toThrow(StateUnavailable)
        expect(await s.get(`${when} 1`)).toBeDefined()
        expect((await s.get(`${when} 2`)) !== undefined).toBe(written)
        expect(await s.get(`${when} 3`)).toBeUndefined()
      }
    })
  })

  describe('control', () => {
    const s = subject(open)
    it('keeps documents, guards their versions, tells of every change', async () => {
      const control = await s.state.control(s.kind)
      expect(control.all()).toEqual([])
      const told: [string, string | undefined][] = []
      const stop = control.subscribe((id, doc) => told.push([id, doc?.value]))
      expect(await control.put('b', '1', { ifVersion: null })).toBe(true)
      expect(await control.put('b', '2', { ifVersion: null })).toBe(false)
      const { version } = control.get('b')!
      expect(await control.put('b', '2', { ifVersion: version })).toBe(true)
      expect(await control.put('b', '3', { ifVersion: version })).toBe(false)
      expect(await control.put('a', 'x')).toBe(true)
      expect(control.all().map((d) => [d.id, d.value])).toEqual([
        ['a', 'x'],
        ['b', '2'],
      ])
      expect(await control.delete('b', { ifVersion: version })).toBe(false)
      expect(await control.delete('b')).toBe(true)
      expect(told).toEqual([
        ['b', '1'],
        ['b', '2'],
        ['a', 'x'],
        ['b', undefined],
      ])
      stop()
      await control.put('a', 'y')
      expect(told).toHaveLength(4)
      expect((await s.state.control(s.kind)).get('a')?.value).toBe('y')
    })

    it('writes further entries in the same commit as a document, or neither', async () => {
      const control = await s.state.control(s.kind)
      const kind = `${s.kind}_past`
      const past = (id: string, value: string): Op => ({
        op: 'put',
        kind,
        id,
        value,
        version: `v${value}`,
        ifVersion: null,
      })
      const kept = async () => {
        const page = await s.state.list(kind, GLOBAL, { limit: 10 })
        return page.entries.map((e) => [e.key.id, e.value])
      }
      expect(await control.put('doc', '1', { ifVersion: null, also: [past('1', 'one')] })).toBe(true)
      expect(await control.put('doc', '2', { ifVersion: null, also: [past('2', 'two')] })).toBe(false)
      expect(await kept()).toEqual([['1', 'one']])
      expect(await control.put('doc', '2', { also: [past('1', 'other')] })).toBe(false)
      expect(control.get('doc')?.value).toBe('1')
      expect(await control.delete('doc', { also: [{ op: 'delete', kind, id: '1' }, past('2', 'two')] })).toBe(true)
      expect(await kept()).toEqual([['2', 'two']])
      expect(control.get('doc')).toBeUndefined()
    })
  })
}
