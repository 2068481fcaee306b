import { describe, expect, it } from 'vitest'
import { createNewborn } from '../../src/chains/drive/newborn.ts'
import type { Loaded } from '../../src/chains/model/loaded.ts'
import { testEnv } from '../fakes/env.ts'

const loaded = (id: string) => ({ run: { id } }) as Loaded

describe('executions that are about to begin', () => {
  it('are given once', () => {
    const newborn = createNewborn(testEnv().clock)
    newborn.keep(loaded('a'), 10)
    expect(newborn.take('a')).toEqual(loaded('a'))
    expect(newborn.take('a')).toBeUndefined()
  })

  it('are forgotten where their commit was refused, whether others come after them or not', async () => {
    const { clock } = testEnv()
    const newborn = createNewborn(clock)
    newborn.keep(loaded('refused'), 10)
    await clock.advance(6_000)
    newborn.keep(loaded('slow'), 10)
    await clock.advance(6_000)
    expect(newborn.size).toBe(1)
    expect(newborn.take('refused')).toBeUndefined()
    expect(newborn.take('slow')).toEqual(loaded('slow'))
    newborn.keep(loaded('last'), 10)
    await clock.advance(20_000)
    expect(newborn.size).toBe(0)
  })

  it('are so many and so large at most: the oldest make room', () => {
    const newborn = createNewborn(testEnv().clock)
    for (let i = 0; i < 10_001; i++) newborn.keep(loaded(`a${i}`), 1)
    expect(newborn.size).toBe(10_000)
    expect(newborn.take('a0')).toBeUndefined()
    newborn.keep(loaded('large'), 64 * 1024 * 1024)
    expect(newborn.size).toBe(1)
    expect(newborn.take('large')).toEqual(loaded('large'))
  })
})
