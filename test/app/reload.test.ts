import { rmSync, writeFileSync } from 'node:fs'
import { expect, it } from 'vitest'
import { fingerprint, watchConfig } from '../../src/app/reload.ts'
import { testEnv } from '../fakes/env.ts'
import { folder } from '../state/folder.ts'

const path = folder()

function watched(loaded: (file: string) => string, taking?: Promise<void>) {
  const env = testEnv()
  const file = path('gateway.toml')
  writeFileSync(file, 'as it was loaded')
  let seen = loaded(file)
  let told = 0
  const read = () => {
    seen = fingerprint(file)
  }
  const start = () =>
    watchConfig(
      file,
      () => seen,
      env,
      async () => {
        told++
        read()
        await taking
      },
    )
  return { env, file, start, read, told: () => told }
}

it('an edit between the load and the first look is one', async () => {
  const { env, file, start, told } = watched(fingerprint)
  writeFileSync(file, 'edited while the gateway was starting')
  const watching = start()
  await env.clock.advance(0)
  expect(told()).toBe(1)
  await env.clock.advance(2000)
  expect(told()).toBe(1)
  await watching.stop()
})

it('tells of each edit once, of a file that is gone too, and of none after it was stopped', async () => {
  const { env, file, start, told } = watched(fingerprint)
  const watching = start()
  await env.clock.advance(2000)
  expect(told()).toBe(0)
  writeFileSync(file, 'another')
  await env.clock.advance(500)
  rmSync(file)
  await env.clock.advance(1000)
  expect(told()).toBe(2)
  await watching.stop()
  writeFileSync(file, 'there again')
  await env.clock.advance(2000)
  expect(told()).toBe(2)
})

it('does not tell of an edit that was read along with the rules', async () => {
  const { env, file, start, read, told } = watched(fingerprint)
  const watching = start()
  writeFileSync(file, 'another')
  read()
  await env.clock.advance(2000)
  expect(told()).toBe(0)
  await watching.stop()
})

it('stops only when the edit in hand has been taken over: what that begins would be stopped by nobody', async () => {
  const { promise, resolve } = Promise.withResolvers<void>()
  const { env, file, start } = watched(fingerprint, promise)
  const watching = start()
  writeFileSync(file, 'another')
  await env.clock.advance(500)
  let stopped = false
  const stopping = watching.stop().then(() => {
    stopped = true
  })
  await env.clock.advance(1000)
  expect(stopped).toBe(false)
  resolve()
  await stopping
  expect(env.clock.pending).toBe(0)
})
