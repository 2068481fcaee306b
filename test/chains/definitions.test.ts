import { describe, expect, it } from 'vitest'
import type { Json, JsonObject } from '../../src/core/json.ts'
import { openControl, POLLED } from '../../src/state/control.ts'
import { held, OK } from '../fakes/provider.ts'
import { guide, line, pullFor, scope, start, step, stepsOf, world } from './set-up.ts'

const two = [line(step('one'), step('two'))]
const three = [line(step('one'), step('two'), step('three'))]

describe('definitions', () => {
  it('PITFALLS 41: an edit reaches no execution under way, nor its sub-chains, nor after a restart', async () => {
    const h = held()
    const before: Json[] = [
      line(step('one'), { name: 'sub', sub_chain: 'inner' }),
      { name: 'inner', steps: [step('in', 'q')] },
    ]
    const after: Json[] = [line(step('other', 'r')), { name: 'inner', steps: [step('in', 'r')] }]
    const w = await world(before, { p: { script: [h.answer] }, q: {}, r: {} })
    const first = await w.node()
    const id = await start(w, first, w.memory.state, 'line')
    await w.env.clock.settle()
    const { definition_version: version } = (await first.get(scope, id)) as JsonObject
    expect(first.setDefinitions(after)).toEqual([])
    const stopped = first.stop()
    h.finish(OK)
    await stopped
    const second = await w.node()
    expect(second.setDefinitions(after)).toEqual([])
    await second.pull()
    await pullFor(w, second, 10)
    expect(await second.get(scope, id)).toMatchObject({
      status: 'completed',
      definition_version: version,
      total_steps: 2,
    })
    expect(w.providers['q']!.sent).toHaveLength(1)
    expect(w.providers['r']!.sent).toHaveLength(0)
    // A new one begins with the new.
    const next = await start(w, second, w.memory.state, 'line')
    await w.env.clock.settle()
    const view = await second.get(scope, next)
    expect(view).toMatchObject({ status: 'completed' })
    expect(view!['definition_version']).not.toBe(version)
    expect(Object.keys(stepsOf(view))).toEqual(['other'])
  })

  it('a wrong set changes nothing', async () => {
    const w = await world(two, { p: {} })
    const chains = await w.node()
    const version = chains.definition('line')!.version
    const issues = chains.setDefinitions([...three, { name: 'bad', steps: [step('x', 'nobody')] }])
    expect(issues.map((i) => i.message)).toEqual(['there is no provider "nobody"'])
    expect(chains.definition('line')!.version).toBe(version)
    expect(chains.checkDefinitions(three, ['p'])).toEqual([])
    // With the providers there will be, not with those there are.
    expect(chains.checkDefinitions([{ name: 'new', steps: [step('x', 'next')] }], ['p', 'next'])).toEqual([])
    expect(chains.definition('line')!.version).toBe(version)
    expect(
      chains.startOps({ chain: 'nobody', scope, action: null as never, runId: '', now: 0, rule: '' }),
    ).toBeUndefined()
  })

  it('made through the API: kept, seen by other nodes, edited under If-Match, audited', async () => {
    const w = await world([], { p: {} })
    const chains = await w.node()
    const made = await chains.putDefinition('line', { steps: [step('one')] }, 'ann')
    expect(made).toMatchObject({
      created: true,
      warnings: [],
      view: { name: 'line', source: 'api', updated_by: 'ann' },
    })
    expect(await chains.putDefinition('line', { name: 'line', steps: [step('one')] }, 'bob')).toMatchObject({
      created: false,
      view: made.view,
    })
    const other = await w.node()
    expect(other.names()).toEqual(['line'])
    await expect(other.putDefinition('line', two[0]!, 'bob', 'other')).rejects.toMatchObject({ status: 412 })
    const edited = await other.putDefinition('line', two[0]!, 'bob', made.view.version)
    expect(edited).toMatchObject({ created: false, view: { updated_by: 'bob' } })
    expect(chains.definition('line')!.version).toBe(edited.view.version)
    await chains.deleteDefinition('line', 'ann')
    expect(other.has('line')).toBe(false)
    await expect(other.deleteDefinition('line', 'ann')).rejects.toMatchObject({ status: 404 })
    const records = await w.memory.audit.query(['', ''], { kind: 'admin' }, { limit: 10 })
    expect(records.records.map((r) => [r.caller, (r.details as JsonObject)['name']])).toEqual([
      ['ann', 'line'],
      ['bob', 'line'],
      ['ann', 'line'],
    ])
  })

  it('a name is defined in one place only', async () => {
    const w = await world(two, { p: {} })
    const chains = await w.node()
    await expect(chains.putDefinition('line', two[0]!, 'ann')).rejects.toMatchObject({
      status: 409,
      code: 'chain_in_file',
    })
    await expect(chains.deleteDefinition('line', 'ann')).rejects.toMatchObject({ status: 409, code: 'chain_in_file' })
    await chains.putDefinition('mine', { steps: [{ name: 'sub', sub_chain: 'line' }] }, 'ann')
    expect(chains.setDefinitions([...two, { name: 'mine', steps: [step('x')] }])).toMatchObject([
      { path: [1, 'name'], severity: 'error', message: 'chain "mine" is defined elsewhere already' },
    ])
    // The file may take away what one of the API's needs: said, and then it cannot be started.
    expect(chains.setDefinitions([])).toMatchObject([
      { severity: 'warning', message: expect.stringContaining('"line"') },
    ])
    expect(chains.names()).toEqual(['mine'])
    expect(chains.has('mine')).toBe(false)
  })

  it('what one made through the API lacks is said with each load, and it stays in force', async () => {
    const w = await world([line(step('a')), { name: 'inner', steps: [step('in')] }], { p: {}, q: {} })
    const chains = await w.node()
    await chains.putDefinition('mine', { steps: [{ name: 'sub', sub_chain: 'inner' }, step('b', 'q')] }, 'ann')
    await chains.putDefinition('other', { steps: [step('c', 'p', { fallback_provider: 'q' })] }, 'ann')
    w.routes.delete('q')
    const issues = chains.setDefinitions([line(step('a'))])
    expect(issues.map((i) => `${i.severity}: ${i.message}`)).toEqual([
      'warning: chain "mine", made through the API, step "sub": there is no chain "inner"',
      'warning: chain "mine", made through the API, step "b": there is no provider "q"; did you mean "p"?',
      'warning: chain "other", made through the API, step "c": there is no provider "q"; did you mean "p"?',
    ])
    const said = w.env.logged.filter((l) => JSON.stringify(l).includes('made through the API'))
    expect(said).toHaveLength(3)
    expect(chains.names()).toEqual(['line', 'mine', 'other'])
  })

  it('one in use as a sub-chain stays, and no edit makes a circle', async () => {
    const w = await world([], { p: {} })
    const chains = await w.node()
    await chains.putDefinition('inner', { steps: [step('x')] }, 'ann')
    await chains.putDefinition('outer', { steps: [{ name: 's', sub_chain: 'inner' }] }, 'ann')
    await expect(chains.deleteDefinition('inner', 'ann')).rejects.toMatchObject({ status: 409, code: 'chain_in_use' })
    await expect(
      chains.putDefinition('inner', { steps: [{ name: 's', sub_chain: 'outer' }] }, 'ann'),
    ).rejects.toMatchObject({
      status: 422,
      errors: [{ pointer: '/steps/0/sub_chain', message: expect.stringContaining('inner → outer → inner') }],
    })
  })

  /** Nodes with a memory of their own each, which hear of each other's changes within a second. */
  async function nodes() {
    const w = await world([], { p: {} })
    const closed = new AbortController().signal
    const open = async () => {
      const control = await openControl(w.memory.state, 'chains', { ...w.env, closed, shared: POLLED })
      return w.node(undefined, { control })
    }
    const [one, two] = [await open(), await open()]
    for (const name of ['a', 'b']) await one.putDefinition(name, { steps: [step('s')] }, 'ann')
    await w.env.clock.advance(1000)
    return { w, one, two }
  }
  const uses = (name: string) => ({ steps: [{ name: 's', sub_chain: name }] })

  it.each(['one node', 'two nodes'])(
    'two changes at once, on %s, do not together make what neither may',
    async (on) => {
      const { w, one, two } = await nodes()
      const other = on === 'one node' ? one : two
      const circle = await Promise.allSettled([
        one.putDefinition('a', uses('b'), 'ann'),
        other.putDefinition('b', uses('a'), 'bob'),
      ])
      expect(circle.map((r) => r.status).sort()).toEqual(['fulfilled', 'rejected'])
      expect(circle.find((r) => r.status === 'rejected')).toMatchObject({
        reason: { status: 422, code: 'invalid_chain' },
      })
      await w.env.clock.advance(1000)
      for (const chains of [one, two])
        expect([chains.has('a'), chains.has('b'), chains.names()]).toEqual([true, true, ['a', 'b']])
    },
  )

  it.each(['one node', 'two nodes'])('nor does a delete take, on %s, what another just begins to use', async (on) => {
    const { w, one, two } = await nodes()
    const other = on === 'one node' ? one : two
    const both = await Promise.allSettled([
      one.deleteDefinition('b', 'ann'),
      other.putDefinition('a', uses('b'), 'bob'),
    ])
    expect(both.map((r) => r.status).sort()).toEqual(['fulfilled', 'rejected'])
    await w.env.clock.advance(1000)
    for (const chains of [one, two]) expect(chains.has('a')).toBe(true)
  })

  it('changes of different chains at once are all made, and two of one are one too many', async () => {
    const { one, two } = await nodes()
    const names = ['a', 'b', 'c', 'd', 'e']
    await Promise.all(names.map((name, i) => (i % 2 ? two : one).putDefinition(name, { steps: [step(name)] }, 'ann')))
    expect(one.names()).toEqual(names)
    const same = ['x', 'y'].map((name, i) => (i % 2 ? two : one).putDefinition('a', { steps: [step(name)] }, 'ann'))
    const results = await Promise.allSettled(same)
    expect(results.find((r) => r.status === 'rejected')).toMatchObject({ reason: { code: 'version_mismatch' } })
  })

  it('a version before, to which every document is a definition, can read what stands beside those that are made', async () => {
    const w = await world([], { p: {} })
    const chains = await w.node()
    await chains.putDefinition('line', line(step('one')), 'me')
    const documents = (await w.memory.state.control('chains')).all()
    const read = documents.map((doc) => [doc.id, JSON.parse(doc.value) as JsonObject] as const)
    expect(read.map(([id, { definition }]) => [id, (definition as JsonObject)['name']])).toEqual([
      ['\u0001', '\u0001'],
      ['line', 'line'],
    ])
    // It is never started there, and not shown here.
    expect(read[0]![1]['definition']).toEqual({ name: '\u0001', enabled: false, steps: [] })
    expect(chains.definitions().map((d) => d.name)).toEqual(['line'])
  })

  it('a wrong body is refused whole, with pointers', async () => {
    const w = await world([...guide], {
      p: {},
      'telemetry-normalizer': {},
      'anomaly-detector': {},
      'alert-fanout': {},
      'event-bus': {},
      'metrics-queue': {},
    })
    const chains = await w.node()
    const body = {
      name: 'y',
      steps: [step('a/b', 'x', { branches: [{ field: 'success', operator: 'eqq', target: 'zzz' }] })],
    }
    await expect(chains.putDefinition('x', body, 'ann')).rejects.toMatchObject({
      status: 422,
      code: 'invalid_chain',
      errors: expect.arrayContaining([
        { pointer: '/steps/0/provider', message: expect.any(String) },
        { pointer: '/steps/0/branches/0/operator', message: expect.stringContaining('did you mean "eq"') },
        { pointer: '/steps/0/branches/0/target', message: expect.any(String) },
      ]),
    })
    await expect(chains.putDefinition('x', 'text', 'ann')).rejects.toMatchObject({ status: 422 })
    await expect(chains.putDefinition('x', { name: 'y', steps: [step('a')] }, 'ann')).rejects.toMatchObject({
      errors: [{ pointer: '/name', message: expect.any(String) }],
    })
    expect(chains.definitions().map((d) => d.name)).toEqual(['critical-alert', 'telemetry-processing'])
  })
})
