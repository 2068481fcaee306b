import { runInNewContext } from 'node:vm'
import { expect, test } from 'vitest'
import { collectGarbage } from '../../src/app/after-start.ts'

test('what nobody refers to any more is gone afterwards, and nobody else can collect', () => {
  const registry = new WeakRef(Array.from({ length: 100_000 }, (_, i) => ({ i })))
  return new Promise<void>((resolve) => {
    // A weak reference holds what it names to the end of the turn.
    setImmediate(() => {
      collectGarbage()
      expect(registry.deref()).toBeUndefined()
      expect(() => runInNewContext('gc')).toThrow('gc is not defined')
      resolve()
    })
  })
})
