import { beforeEach, describe, expect, it } from 'vitest'
import { createDefinitions, type Definitions } from '../../src/chains/definitions/definitions.ts'
import { VERSIONS_KEPT } from '../../src/chains/definitions/versions.ts'
import { GLOBAL } from '../../src/core/action.ts'
import { kinds } from '../../src/core/hold.ts'
import type { JsonObject } from '../../src/core/json.ts'
import { compileRedact } from '../../src/core/redact.ts'
import { type TestEnv, testEnv } from '../fakes/env.ts'
import { type MemoryState, memoryState } from '../fakes/store.ts'
import { tests } from './set-up.ts'

const step = (name: string, provider = 'p') => ({ name, provider, action_type: 'x' })
const body = (...steps: object[]) => ({ steps }) as unknown as JsonObject
const redact = compileRedact({ enabled: true, fields: [], placeholder: '[REDACTED]' })

let env: TestEnv
let memory: MemoryState
let providers: string[]
beforeEach(async () => {
  env = testEnv()
  memory = await memoryState(env)
  providers = ['p', 'q']
})
/** Another node on the same data. */
async function node(): Promise<Definitions> {
  const { state } = memory
  return createDefinitions({
    state,
    env,
    control: await state.control('chains'),
    switches: await state.control('chain_switches'),
    tests,
    providers: () => providers,
    startedBy: () => undefined,
    audit: () => ({ enabled: true, storePayload: true, redact }),
  })
}
const versionsOf = async (d: Definitions, name = 'line') => (await d.api.versions(name, { limit: 100 })).versions
const entries = async () => (await memory.state.list(kinds.chainVersion, GLOBAL, { limit: 1000 })).entries

describe('versions of a definition', () => {
  it('each that came into force is kept with author and time, newest first', async () => {
    const { api } = await node()
    const one = await api.putDefinition('line', body(step('one')), 'ann')
    await env.clock.advance(1000)
    const two = await api.putDefinition('line', body(step('one'), step('two')), 'bob')
    // The same content is no new version.
    await api.putDefinition('line', body(step('one'), step('two')), 'eve')
    expect(await versionsOf(await node())).toEqual([
      { version: two.view.version, current: true, updated_at: two.view.updated_at, updated_by: 'bob' },
      { version: one.view.version, current: false, updated_at: one.view.updated_at, updated_by: 'ann' },
    ])
    expect(await api.version('line', one.view.version)).toMatchObject({
      current: false,
      updated_by: 'ann',
      definition: { name: 'line', steps: [step('one')] },
    })
    expect(await api.version('line', two.view.version)).toMatchObject({ current: true, updated_by: 'bob' })
    await expect(api.version('line', 'other')).rejects.toMatchObject({ status: 404 })
    await expect(api.version('lin', 'other')).rejects.toMatchObject({
      status: 404,
      message: expect.stringContaining('"line"'),
    })
    const first = await api.versions('line', { limit: 1 })
    expect(first.versions.map((v) => v.version)).toEqual([two.view.version])
    const second = await api.versions('line', { limit: 1, after: first.next! })
    expect(second.versions.map((v) => v.version)).toEqual([one.view.version])
  })

  it("a chain's versions are its own, whatever the names", async () => {
    const { api } = await node()
    await api.putDefinition('a', body(step('one')), 'ann')
    await api.putDefinition('a:b', body(step('two')), 'ann')
    const [mine] = await versionsOf(await node(), 'a')
    expect(await versionsOf(await node(), 'a')).toHaveLength(1)
    await expect(api.version('a:b', mine!.version)).rejects.toMatchObject({ status: 404 })
  })

  it('rollback puts one of before in force anew, under the name of who did it', async () => {
    const { api } = await node()
    const one = await api.putDefinition('line', body(step('one')), 'ann')
    const two = await api.putDefinition('line', body(step('two')), 'bob')
    await env.clock.advance(5000)
    const back = await api.rollback('line', one.view.version, 'eve')
    expect(back).toMatchObject({ view: { version: one.view.version, updated_by: 'eve' }, warnings: [] })
    expect(back.view.updated_at).not.toBe(one.view.updated_at)
    expect((await node()).api.definition('line')).toEqual(back.view)
    expect(
      (await versionsOf(await node())).map((v) => [v.version, v.updated_by, v.rolled_back_from, v.current]),
    ).toEqual([
      [one.view.version, 'eve', two.view.version, true],
      [two.view.version, 'bob', undefined, false],
      // The same content, so it is the one in force.
      [one.view.version, 'ann', undefined, true],
    ])
    const { records } = await memory.audit.query(GLOBAL, { kind: 'admin' }, { limit: 1 })
    expect(records[0]).toMatchObject({
      caller: 'eve',
      details: { name: 'line', version: one.view.version, previous_version: two.view.version, rolled_back: true },
    })
  })

  it('a version is checked against what there is today before it comes back', async () => {
    const { api } = await node()
    const one = await api.putDefinition('line', body(step('one', 'q')), 'ann')
    const two = await api.putDefinition('line', body(step('one')), 'ann')
    providers = ['p']
    await expect(api.rollback('line', one.view.version, 'bob')).rejects.toMatchObject({
      status: 422,
      code: 'invalid_chain',
      errors: [{ pointer: '/steps/0/provider', message: expect.stringContaining('no provider "q"') }],
    })
    await expect(api.rollback('line', 'none', 'bob')).rejects.toMatchObject({ status: 404 })
    await expect(api.rollback('line', one.view.version, 'bob', 'stale')).rejects.toMatchObject({ status: 412 })
    expect(api.definition('line')).toEqual(two.view)
    // To where it is: nothing changes.
    expect((await api.rollback('line', two.view.version, 'bob')).view).toEqual(two.view)
    expect(await entries()).toHaveLength(2)
  })

  it('beyond the newest 50 they are collected, in the commit that adds one', async () => {
    const { api } = await node()
    const seen: string[] = []
    for (let i = 0; i < VERSIONS_KEPT + 3; i++)
      seen.push((await api.putDefinition('line', body(step(`s${i}`)), 'ann')).view.version)
    await api.putDefinition('other', body(step('one')), 'ann')
    expect((await versionsOf(await node())).map((v) => v.version)).toEqual(seen.slice(3).reverse())
    expect(await entries()).toHaveLength(VERSIONS_KEPT + 1)
    await expect(api.rollback('line', seen[2]!, 'ann')).rejects.toMatchObject({ status: 404 })
    await api.deleteDefinition('line', 'ann')
    expect(await entries()).toHaveLength(1)
    await expect(api.versions('line', { limit: 1 })).rejects.toMatchObject({ status: 404 })
  })

  it('a definition stored without a version entry is kept when the next comes', async () => {
    const control = await memory.state.control('chains')
    const old = {
      definition: { name: 'line', steps: [step('old')] },
      updated_at: '2026-01-05T11:00:00.000Z',
      updated_by: 'ann',
    }
    await control.put('line', JSON.stringify(old))
    const { api } = await node()
    await api.putDefinition('line', body(step('new')), 'bob')
    expect((await versionsOf(await node())).map((v) => v.updated_by)).toEqual(['bob', 'ann'])
  })

  it('of two who edit at once one is told, and no version is left of the other', async () => {
    const { api } = await node()
    await api.putDefinition('line', body(step('one')), 'ann')
    const both = await Promise.allSettled([
      api.putDefinition('line', body(step('two')), 'bob'),
      api.putDefinition('line', body(step('three')), 'eve'),
    ])
    expect(both.map((b) => b.status).sort()).toEqual(['fulfilled', 'rejected'])
    expect(both.find((b) => b.status === 'rejected')).toMatchObject({
      reason: { status: 412, code: 'version_mismatch' },
    })
    expect(await entries()).toHaveLength(2)
  })

  it("the file's is the only one of its name, and cannot be rolled back", async () => {
    const { api } = await node()
    expect(api.setDefinitions([{ name: 'filed', ...body(step('one')) }])).toEqual([])
    const { version } = api.definition('filed')!
    expect(await versionsOf(await node()).catch((e: { status: number }) => e.status)).toBe(404)
    expect((await api.versions('filed', { limit: 1 })).versions).toEqual([{ version, current: true }])
    expect(await api.version('filed', version)).toMatchObject({ current: true, definition: { name: 'filed' } })
    await expect(api.rollback('filed', version, 'ann')).rejects.toMatchObject({ status: 409, code: 'chain_in_file' })
  })
})

describe('switching a chain off', () => {
  it('in its definition, or by hand for every node; it starts nothing, and is there', async () => {
    const one = await node()
    const { api } = one
    await api.putDefinition('line', { enabled: false, ...body(step('one')) }, 'ann')
    expect(api.definition('line')).toMatchObject({ enabled: false })
    expect([api.has('line'), api.disabled('line'), one.closureOf('line')]).toEqual([true, true, undefined])
    const on = await api.setEnabled('line', true, { by: 'bob' })
    expect(on).toMatchObject({ enabled: true })
    expect(on).not.toHaveProperty('disabled_by')
    const two = await node()
    expect(two.closureOf('line')).toHaveLength(1)
    await two.api.setEnabled('line', false, { by: 'eve', why: 'floods' })
    expect(api.definitions()).toMatchObject([
      {
        name: 'line',
        enabled: false,
        disabled_by: 'eve',
        disable_details: { why: 'floods', at: '2026-01-05T12:00:00.000Z' },
      },
    ])
    expect(one.closureOf('line')).toBeUndefined()
    await expect(api.setEnabled('lin', true, { by: 'x' })).rejects.toMatchObject({ status: 404 })
    expect(api.disabled('lin')).toBe(false)
    const { records } = await memory.audit.query(GLOBAL, { kind: 'admin' }, { limit: 2 })
    expect(records.map((r) => [r.caller, r.details])).toEqual([
      ['eve', { name: 'line', enabled: false, why: 'floods' }],
      ['bob', { name: 'line', enabled: true }],
    ])
  })

  it("the switch changes no version, holds for the file's chains, and through edits", async () => {
    const { api, closureOf } = await node()
    api.setDefinitions([{ name: 'filed', ...body(step('one')) }])
    const { version } = api.definition('filed')!
    await api.setEnabled('filed', false, { by: 'ann' })
    expect(api.definition('filed')).toMatchObject({ version, enabled: false })
    api.setDefinitions([{ name: 'filed', ...body(step('one'), step('two')) }])
    expect(closureOf('filed')).toBeUndefined()
    // Nor is it forgotten by a node whose file does not have the chain (yet).
    const other = await node()
    other.api.setDefinitions([])
    await env.clock.settle()
    expect(api.disabled('filed')).toBe(true)
    api.setDefinitions([{ name: 'filed', enabled: false, ...body(step('one')) }])
    await env.clock.settle()
    api.setDefinitions([{ name: 'filed', ...body(step('one')) }])
    expect(closureOf('filed')).toHaveLength(1)
  })

  it('once the definition says otherwise, the switch is forgotten for good', async () => {
    const { api } = await node()
    const says = (enabled: boolean, name: string) => api.putDefinition('line', { enabled, ...body(step(name)) }, 'ann')
    await says(true, 'one')
    await api.setEnabled('line', false, { by: 'bob' })
    expect((await says(true, 'two')).view.enabled).toBe(false)
    expect((await says(false, 'two')).view.enabled).toBe(false)
    expect((await says(true, 'three')).view.enabled).toBe(true)
    expect((await memory.state.control('chain_switches')).all()).toEqual([])
    await api.setEnabled('line', false, { by: 'bob' })
    await api.deleteDefinition('line', 'ann')
    expect((await says(true, 'one')).view.enabled).toBe(true)
  })

  it('as a sub-chain of another it runs on', async () => {
    const { api, closureOf } = await node()
    await api.putDefinition('inner', body(step('one')), 'ann')
    await api.putDefinition('outer', body({ name: 's', sub_chain: 'inner' }), 'ann')
    await api.setEnabled('inner', false, { by: 'ann' })
    expect(closureOf('inner')).toBeUndefined()
    expect(closureOf('outer')?.map((d) => d.name)).toEqual(['outer', 'inner'])
  })
})
