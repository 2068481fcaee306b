import { expect, it } from 'vitest'
import { onParentGone } from '../../src/app/parent.ts'
import { fakeClock } from '../fakes/clock.ts'

const NPX = { npm_lifecycle_event: 'npx' }

function child(env: { readonly [name: string]: string }) {
  const told: (() => void)[] = []
  const once = (_event: 'disconnect', then: () => void) => told.push(then)
  return { env, ppid: 10, connected: true, channel: { unref: () => undefined }, once, told }
}

it.each([
  ['npx', NPX, true],
  ['a script of this package', { npm_lifecycle_event: 'signalbox', npm_package_name: 'signalbox' }, true],
  ['a script of another', { npm_lifecycle_event: 'up', npm_package_name: 'shop' }, false],
  ['nothing of npm', {}, false],
])('run by %s: is it missed? %s', async (_by, env, missed) => {
  const clock = fakeClock()
  const mine = child(env)
  let gone = 0
  onParentGone(clock, () => gone++, mine, 10)
  await clock.advance(5000)
  expect(gone).toBe(0)
  mine.ppid = 1
  await clock.advance(5000)
  expect(gone).toBe(missed ? 1 : 0)
})

it('of one that handed over, the end of the channel tells, though it came before anybody listened', () => {
  const mine = child({ SIGNALBOX_HANDED_OVER: '1', ...NPX })
  let gone = 0
  onParentGone(fakeClock(), () => gone++, mine, 10)
  expect(gone).toBe(0)
  for (const tell of mine.told) tell()
  expect(gone).toBe(1)
  onParentGone(fakeClock(), () => gone++, { ...mine, connected: false }, 10)
  expect(gone).toBe(2)
})
