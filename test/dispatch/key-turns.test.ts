import { beforeEach, describe, expect, it } from 'vitest'
import type { Scope } from '../../src/core/action.ts'
import { createKeyTurns, type KeyTurns } from '../../src/dispatch/key-turns.ts'
import { type TestEnv, testEnv } from '../fakes/env.ts'

const SCOPE: Scope = ['a', 'b']

describe('turns under a schedule key', () => {
  let env: TestEnv
  let turns: KeyTurns
  beforeEach(() => {
    env = testEnv()
    turns = createKeyTurns(env.clock)
  })
  /** Whether it has its turn, and what gives it its place. */
  function one(keys: readonly string[], scope = SCOPE) {
    const { promise, resolve } = Promise.withResolvers<void>()
    const turn = turns.take(scope, keys, promise)
    const state = { on: turn === undefined, place: resolve }
    void turn?.then(() => {
      state.on = true
    })
    return state
  }

  it('each waits for the one before it under any of its keys, and for no other', async () => {
    const first = one(['k', 'l'])
    const second = one(['k'])
    const third = one(['k', 'm'])
    const others = [one(['n']), one(['k'], ['a', 'c']), one(['k'], ['ab', ''])]
    expect([first, second, third, ...others].map((t) => t.on)).toEqual([true, false, false, true, true, true])
    expect(one(['l']).on).toBe(false)
    first.place()
    await env.clock.advance(1)
    expect([second.on, third.on]).toEqual([true, false])
    second.place()
    await env.clock.advance(1)
    expect(third.on).toBe(true)
    third.place()
    await env.clock.advance(1)
    expect(one(['k', 'm']).on).toBe(true)
  })

  it('where the one before has no answer it is waited for a second, whatever stands behind', async () => {
    one(['k'])
    const waiting = [one(['k']), one(['k']), one(['k'])]
    await env.clock.advance(999)
    expect(waiting.map((t) => t.on)).toEqual([false, false, false])
    await env.clock.advance(1)
    expect(waiting.map((t) => t.on)).toEqual([true, true, true])
  })
})
