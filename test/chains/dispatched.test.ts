import { describe, expect, it } from 'vitest'
import { type ChainLike, dispatchedBy, dispatchedLookup } from '../../src/chains/dispatched.ts'

const chains = (all: { readonly [name: string]: ChainLike }) => (name: string) => all[name]
const typesOf = (all: { readonly [name: string]: ChainLike }, chain = 'a') => {
  const { types } = dispatchedBy(chain, chains(all))
  return types === 'any' ? types : [...types].toSorted()
}
const dispatch = (action_type: string) => ({ name: 's', dispatch: { action_type } })

describe('what a chain dispatches', () => {
  it('is the action type of each of its dispatch steps', () => {
    const send = { name: 'x', provider: 'log', action_type: 'sent' }
    expect(typesOf({ a: { steps: [send, dispatch('reading'), dispatch('alarm')] } })).toEqual(['alarm', 'reading'])
    expect(typesOf({ a: { steps: [send] } })).toEqual([])
  })

  it('includes what stands inside other steps, and in every sub-chain, however they go round', () => {
    const all = {
      a: { steps: [{ name: 'p', parallel: { branches: [dispatch('one'), { name: 'c', sub_chain: 'b' }] } }] },
      b: { steps: [{ name: 'f', for_each: { items: ['x'], step: { name: 'i', sub_chain: 'c' } } }] },
      c: { steps: [dispatch('two'), { name: 'r', sub_chain: 'a' }] },
    }
    for (const chain of ['a', 'b', 'c']) expect(typesOf(all, chain)).toEqual(['one', 'two'])
  })

  it('is anything where the type is only known when it is dispatched', () => {
    expect(typesOf({ a: { steps: [dispatch('alarm'), dispatch('{{origin.payload.type}}')] } })).toBe('any')
    expect(typesOf({ a: { steps: [{ name: 's', dispatch: {} }] } })).toBe('any')
  })

  it('is not what data looks like', () => {
    const payload_template = { dispatch: { action_type: 'no' }, sub_chain: 'b', list: [{ dispatch: {} }] }
    const steps = [{ name: 's', provider: 'log', action_type: 'sent', payload_template }]
    expect(typesOf({ a: { steps }, b: { steps: [dispatch('neither')] } })).toEqual([])
    const inner = { name: 's', dispatch: { action_type: 'yes', payload: { dispatch: { action_type: 'no' } } } }
    expect(typesOf({ a: { steps: [inner] } })).toEqual(['yes'])
  })

  it('is nothing of a chain or sub-chain that is not there', () => {
    expect(typesOf({})).toEqual([])
    expect(typesOf({ a: { steps: [{ name: 'c', sub_chain: 'gone' }] } })).toEqual([])
  })

  it("locks by the root's field, not by a sub-chain's", () => {
    const all = { a: { lock_by: 'payload.x', steps: [{ sub_chain: 'b' }] }, b: { lock_by: 'payload.y', steps: [] } }
    expect(dispatchedBy('a', chains(all)).lockBy).toBe('payload.x')
    expect(dispatchedBy('c', chains(all)).lockBy).toBeUndefined()
  })

  it('is remembered until one of its definitions is another', () => {
    const all: { [name: string]: ChainLike } = {
      a: { steps: [{ name: 'c', sub_chain: 'b' }] },
      b: { steps: [dispatch('one')] },
    }
    const lookup = dispatchedLookup((name) => all[name])
    const first = lookup('a')
    expect(first.types).toEqual(new Set(['one']))
    expect(lookup('a')).toBe(first)
    all.b = { steps: [dispatch('two')] }
    expect(lookup('a').types).toEqual(new Set(['two']))
    delete all.b
    expect(lookup('a').types).toEqual(new Set())
  })
})
