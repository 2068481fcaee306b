import * as fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import type { Scope } from '../../../src/core/action.ts'
import type { Claimed, ClaimRef } from '../../../src/core/state.ts'
import { type OpenState, runs, subject } from './subject.ts'

export function claimsContract(open: OpenState): void {
  describe('claims', () => {
    const s = subject(open)
    const due = (id: string, inMs = 0) => s.put(id, { dueAt: s.clock.now() + inMs })
    const ref = (c: Claimed): ClaimRef => ({ owner: c.claim.owner, number: c.claim.number })
    const one = async (): Promise<Claimed> => {
      const [c] = await s.claim({ limit: 1 })
      if (c === undefined) throw new Error('nothing was due')
      return c
    }
    const touch = (id: string, ifClaim: ClaimRef, more: { until?: number; dueAt?: number }) =>
      ({ op: 'touch', kind: s.kind, id, ifClaim, ...more }) as const

    it('takes what is due, oldest first, and nothing else', async () => {
      await s.ok(due('b', 20), due('a', 30), due('c', 10), due('later', 999), s.put('never'))
      expect(await s.claim()).toEqual([])
      await s.clock.advance(30)
      const claimed = await s.claim({ limit: 2, leaseMs: 500 })
      const until = s.clock.now() + 500
      expect(claimed.map((c) => c.key.id)).toEqual(['c', 'b'])
      expect(claimed[0]).toMatchObject({
        attempts: 1,
        dueAt: until,
        value: 'value of c',
        claim: { owner: 'worker', until },
      })
      expect((await s.claim()).map((c) => c.key.id)).toEqual(['a'])
      expect(await s.claim()).toEqual([])
    })
    it('gives every id back as it was put, so that its claim ends what was claimed', async () => {
      // Line and field separators, NUL, what backends mark their own with, a lone surrogate, a pair, and too long for a key.
      const odd = [
        'a\nb',
        'a\tb',
        'a\0b',
        'a\u0001b',
        'a\u0002b',
        'a\ufdd0b',
        'a\ufdd0000ab',
        'a\ud800b',
        'a😀b',
        'a#b%2f:c',
      ]
      const ids = [...odd, 'x'.repeat(3000)]
      await s.ok(...ids.map((id) => due(id)))
      const claimed = await s.claim()
      expect(claimed.map((c) => c.key.id).sort()).toEqual(ids.toSorted())
      for (const c of claimed) await s.ok({ op: 'delete', kind: s.kind, id: c.key.id, ifClaim: ref(c) })
      expect((await s.state.list(s.kind, s.scope, { limit: 99 })).entries).toEqual([])
    })
    it('of twenty who claim at once, one gets each entry', async () => {
      await s.ok(due('a'), due('b'), due('c'))
      const all = await Promise.all(Array.from({ length: 20 }, (_, i) => s.claim({ owner: `w${i}`, limit: 2 })))
      // All of them may have looked at the first two only, before anybody had them: the third is there for whoever comes next.
      all.push(await s.claim())
      expect(
        all
          .flat()
          .map((c) => c.key.id)
          .sort(),
      ).toEqual(['a', 'b', 'c'])
    })
    it('an entry keeps its value and its tags through all that is done to it, however long they are', async () => {
      const texts = Array.from({ length: 30 }, (_, i) => `${i} `.padEnd(380 + i * 5, 'é')).concat(
        '',
        'x'.repeat(100_000),
      )
      const tags = ['t', 'long '.repeat(200)]
      const all = (entries: readonly { key: { id: string }; value: string; tags: readonly string[] }[]) =>
        entries.map((e) => [e.key.id, e.value, e.tags]).sort((a, b) => (a[0]! < b[0]! ? -1 : 1))
      const ids = texts.map((_, i) => String(i + 100))
      const whole: [string, string, string[]][] = [
        ...ids.map((id, i): [string, string, string[]] => [id, texts[i]!, ['t']]),
        ['tagged', texts.at(-1)!, tags],
      ]
      await s.ok(...ids.map((id, i) => s.put(id, { value: texts[i]!, tags: ['t'], dueAt: s.clock.now() })))
      await s.ok(s.put('tagged', { value: texts.at(-1)!, tags, dueAt: s.clock.now() }))

      const claimed = await s.claim()
      expect(all(claimed)).toEqual(whole)
      for (const c of claimed) await s.ok(touch(c.key.id, ref(c), { until: s.clock.now() + 2000 }))
      const listed = async () => (await s.state.list(s.kind, s.scope, { tag: 't', limit: 99 })).entries
      expect(all(await listed())).toEqual(whole)
      for (const c of claimed) await s.ok(touch(c.key.id, ref(c), { dueAt: s.clock.now() + 5000 }))
      const refused = []
      for (const [id] of whole) refused.push((await s.no(s.put(id, { ifVersion: null }))).saw!)
      expect(all(refused)).toEqual(whole)
      await s.ok(...whole.map(([id]) => ({ op: 'wake', kind: s.kind, id }) as const))
      const again = await s.claim()
      expect(all(again)).toEqual(whole)
      for (const c of again) await s.ok({ op: 'delete', kind: s.kind, id: c.key.id, ifClaim: ref(c) })
      expect(await listed()).toEqual([])
    })
    it('PITFALLS 18, 28: a dead owner\u2019s entry comes back, counted, under a new number', async () => {
      await s.ok(due('a'))
      const first = await one()
      await s.clock.advance(999)
      expect(await s.claim()).toEqual([])
      await s.clock.advance(1)
      const second = await one()
      expect(second.attempts).toBe(2)
      expect(second.claim.number).not.toBe(first.claim.number)
      // Invariant 4: the first owner writes nothing any more.
      expect((await s.no(s.put('a', { value: 'late', ifClaim: ref(first) }))).saw?.claim?.number).toBe(
        second.claim.number,
      )
      await s.no({ op: 'delete', kind: s.kind, id: 'a', ifClaim: ref(first) })
      await s.no(touch('a', ref(first), { until: s.clock.now() + 5000 }))
      await s.ok({ op: 'delete', kind: s.kind, id: 'a', ifClaim: ref(second) })
      expect(await s.get('a')).toBeUndefined()
    })
    it('PITFALLS 49: work that ended after its claim ran out still counts, if nobody else has taken it', async () => {
      await s.ok(due('a'))
      const claim = await one()
      await s.clock.advance(5000)
      expect((await s.get('a'))?.claim).toBeUndefined()
      await s.ok(s.put('a', { value: 'done', ifClaim: ref(claim) }))
      expect(await s.get('a')).toMatchObject({ value: 'done', attempts: 1 })
      expect(await s.claim()).toEqual([])
    })
    it('PITFALLS 47, 65: a claim of a deleted and remade entry is void', async () => {
      await s.ok(due('a'))
      const old = await one()
      await s.ok({ op: 'delete', kind: s.kind, id: 'a' }, due('a'))
      await s.no(s.put('a', { ifClaim: ref(old) }))
      const next = await one()
      expect(next.claim.number).not.toBe(old.claim.number)
      expect(next.attempts).toBe(1)
    })
    it('renews and hands back', async () => {
      await s.ok(due('a'))
      const claim = await one()
      await s.clock.advance(900)
      await s.ok(touch('a', ref(claim), { until: s.clock.now() + 1000 }))
      await s.clock.advance(999)
      expect(await s.claim()).toEqual([])
      expect((await s.get('a'))?.claim).toEqual({ ...ref(claim), until: s.clock.now() + 1 })
      await s.ok(touch('a', ref(claim), { dueAt: s.clock.now() + 50 }))
      expect((await s.get('a'))?.claim).toBeUndefined()
      await s.no(touch('a', ref(claim), { until: s.clock.now() + 1000 }))
      await s.clock.advance(50)
      expect((await one()).attempts).toBe(2)
    })
    it('an entry can be born claimed, kept claimed, and ended', async () => {
      const until = s.clock.now() + 100
      const [born] = await s.ok(s.put('a', { ifVersion: null, claim: { owner: 'me', until } }))
      const mine = { owner: 'me', number: born!.claimNumber! }
      expect(await s.get('a')).toMatchObject({ attempts: 0, dueAt: until, claim: { ...mine, until } })
      const [kept] = await s.ok(s.put('a', { value: 'more', ifClaim: mine, claim: { owner: 'me', until: until + 50 } }))
      expect(kept!.claimNumber).toBe(mine.number)
      await s.no(s.put('a', { ifUnclaimed: true }))
      await s.no({ op: 'delete', kind: s.kind, id: 'a', ifUnclaimed: true })
      await s.ok(s.put('a', { ifClaim: mine, dueAt: until }))
      expect(await s.get('a')).toMatchObject({ dueAt: until })
      expect((await s.get('a'))?.claim).toBeUndefined()
      await s.ok({ op: 'delete', kind: s.kind, id: 'a', ifUnclaimed: true })
    })
    it('sets the counted attempts when a put says so', async () => {
      await s.ok(due('a'))
      const claim = await one()
      await s.ok(s.put('a', { ifClaim: ref(claim), dueAt: s.clock.now(), attempts: 0 }))
      expect((await one()).attempts).toBe(1)
    })

    it('wakes: due now; a claimed entry when its claim ends; an absent or ended one is skipped', async () => {
      const wake = (id: string) => ({ op: 'wake', kind: s.kind, id }) as const
      await s.ok(due('a', 5000), s.put('dormant'), s.put('ended', { expiresAt: s.clock.now() + 9000 }))
      expect(await s.ok(wake('a'), wake('dormant'), wake('ended'), wake('none'))).toEqual([
        {},
        {},
        { skipped: true },
        { skipped: true },
      ])
      const woken = await s.claim()
      expect(woken.map((c) => c.key.id)).toEqual(['a', 'dormant'])
      await s.ok(wake('a'), wake('dormant'))
      expect(await s.claim()).toEqual([])
      await s.ok(touch('a', ref(woken[0]!), { dueAt: s.clock.now() + 5000 }))
      await s.ok(s.put('dormant', { ifClaim: ref(woken[1]!), dueAt: s.clock.now() + 5000 }))
      expect((await s.claim()).map((c) => c.key.id)).toEqual(['a', 'dormant'])
    })
    it('a wake is used up by the claim that follows it, and does not revive what has ended', async () => {
      const wake = { op: 'wake', kind: s.kind, id: 'a' } as const
      await s.ok(due('a'))
      const first = await one()
      await s.ok(wake)
      await s.clock.advance(1000)
      const second = await one()
      await s.ok(touch('a', ref(second), { dueAt: s.clock.now() + 5000 }))
      expect(await s.claim()).toEqual([])
      await s.no(touch('a', ref(first), { dueAt: 0 }))
      await s.ok(wake)
      const third = await one()
      await s.ok(wake)
      await s.ok(s.put('a', { ifClaim: ref(third), expiresAt: s.clock.now() + 500 }))
      expect(await s.claim()).toEqual([])
    })

    it('turns between scopes: a scope with much due does not hold up the others (property)', async () => {
      const sizes = fc.array(fc.integer({ min: 0, max: 12 }), { minLength: 1, maxLength: 5 })
      await fc.assert(
        fc.asyncProperty(
          sizes,
          fc.integer({ min: 1, max: 9 }),
          fc.integer({ min: 1, max: 4 }),
          async (counts, limit, perScope) => {
            const kind = `turns ${s.env.newId()}`
            const scopes = counts.map((_, i): Scope => [s.scope[1], `t${i}`])
            for (const [i, scope] of scopes.entries())
              await s.state.commit(
                scope,
                Array.from(
                  { length: counts[i]! },
                  (_, j) => ({ ...s.put(`${j + 100}`), kind, dueAt: s.clock.now() - 100 + j }) as never,
                ),
              )
            const left = new Map(scopes.map((scope, i) => [scope[1], counts[i]!]))
            const taken = new Map<string, string[]>()
            for (let round = 0; [...left.values()].some((n) => n > 0); round++) {
              const claimed = await s.state.claim(kind, { owner: 'w', leaseMs: 1e9, limit, perScope })
              const mine = new Map<string, number>()
              for (const c of claimed) {
                const tenant = c.key.scope[1]
                mine.set(tenant, (mine.get(tenant) ?? 0) + 1)
                taken.set(tenant, [...(taken.get(tenant) ?? []), c.key.id])
              }
              const most = Math.max(...mine.values())
              expect(most).toBeLessThanOrEqual(perScope)
              const possible = [...left.values()].reduce((sum, n) => sum + Math.min(n, perScope), 0)
              expect(claimed).toHaveLength(Math.min(limit, possible))
              // Nobody gets a second one while another who has some left got none... by more than one turn.
              for (const [tenant, n] of left)
                if (n > (mine.get(tenant) ?? 0)) expect((mine.get(tenant) ?? 0) + 1).toBeGreaterThanOrEqual(most)
              for (const [tenant, n] of mine) left.set(tenant, left.get(tenant)! - n)
              expect(round).toBeLessThan(100)
            }
            for (const ids of taken.values()) expect(ids).toEqual([...ids].sort())
          },
        ),
        { numRuns: runs(open, 25), seed: 4 },
      )
    })
    it('turns go on where the last claim stopped: no scope is always first', async () => {
      for (const t of ['t1', 't2', 't3']) await s.state.commit([s.scope[1], t], [due('a'), due('b')])
      const tenants: string[] = []
      for (let i = 0; i < 6; i++) tenants.push((await one()).key.scope[1])
      expect(tenants).toEqual(['t1', 't2', 't3', 't1', 't2', 't3'])
    })
    it('nextDue: nothing is due before it, and waiting until then finds what is', async () => {
      expect(await s.state.nextDue(s.kind)).toBeUndefined()
      const now = s.clock.now()
      await s.ok(s.put('late', { dueAt: now + 5000 }), s.put('not work', { expiresAt: now + 10 }))
      await s.state.commit(['contract', 'other'], [s.put('early', { dueAt: now + 1000 })])
      await s.ok({ ...s.put('x', { dueAt: now + 1 }), kind: `${s.kind}x` } as never)
      expect(await s.state.nextDue(s.kind)).toBe(now + 1000)
      const found: string[] = []
      // An entry that is claimed is due when its claim runs out; one that is gone may still be looked for once.
      for (let at: number | undefined; found.length < 2; ) {
        at = await s.state.nextDue(s.kind)
        expect(at).toBeDefined()
        await s.clock.advance(Math.max(0, at! - s.clock.now()))
        for (const e of await s.claim({ limit: 9, leaseMs: 60_000 })) found.push(e.key.id)
      }
      expect(found).toEqual(['early', 'late'])
      expect(s.clock.now()).toBe(now + 5000)
      expect(await s.state.nextDue(s.kind)).toBe(now + 61_000)
    })
    it('depths: waiting, due and oldest, by kind', async () => {
      await s.ok(due('a', -50), due('b', 10), s.put('c'))
      const depth = async () => (await s.state.depths()).find((d) => d.kind === s.kind)
      expect(await depth()).toEqual({ kind: s.kind, waiting: 2, due: 1, oldestDueAt: s.clock.now() - 50 })
      await s.claim()
      expect(await depth()).toMatchObject({ waiting: 2, due: 0 })
    })
  })
}
