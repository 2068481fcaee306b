import { describe, expect, test } from 'vitest'
import { openSigner } from '../../src/app/lineage.ts'
import { seededRandom } from '../../src/core/ids.ts'
import { LINEAGE_TOPIC, lineageSigner, newLineage } from '../../src/core/lineage.ts'
import { routes } from '../../src/http/routes/index.ts'
import { sharedControl } from '../delivery/control.ts'
import { testEnv } from '../fakes/env.ts'
import { testGateway } from '../fakes/gateway.ts'
import { memoryState } from '../fakes/store.ts'

const lineage = newLineage('019b8d8e-0000-7000-8000-000000000001')
const MADE_HERE = { secret: undefined, previousSecrets: [] }

describe('the key that lineages are signed with', () => {
  test('is made once and kept in the store: a restart reads what was signed before it', async () => {
    const before = await testGateway({ seed: 1 })
    const text = before.signer.sign(lineage)
    const after = await testGateway({ env: before.env, memory: await before.memory.restart(), seed: 2 })
    expect(after.signer.read(text)).toEqual(lineage)
    const elsewhere = await testGateway({ seed: 3 })
    expect(elsewhere.signer.read(text)).toBeUndefined()
  })

  test('of two nodes that start at once on one store, both take the first one’s', async () => {
    const { clock } = testEnv()
    const shared = sharedControl(clock, 500, 10)
    const nodes = [1, 2, 3].map((seed) => openSigner(MADE_HERE, shared.node(), seededRandom(seed)))
    await clock.advance(2000)
    const [a, b, c] = await Promise.all(nodes)
    const texts = [a, b, c].map((s) => s?.sign(lineage))
    expect(new Set(texts).size).toBe(1)
    expect(shared.writes).toBe(1)
    const late = await openSigner(MADE_HERE, shared.node(), seededRandom(4))
    expect(late.read(texts[0]!)).toEqual(lineage)
  })

  test('is not made where one is configured, and a rotated one still reads what its predecessor signed', async () => {
    const control = await (await memoryState(testEnv())).state.control(LINEAGE_TOPIC)
    const old = await openSigner({ secret: 'what signed until now', previousSecrets: [] }, control, seededRandom(1))
    expect(control.all()).toEqual([])
    const text = old.sign(lineage)
    const secrets = { secret: 'what signs from now on', previousSecrets: ['what signed until now'] }
    const rotated = await openSigner(secrets, control, seededRandom(1))
    expect(rotated.read(text)).toEqual(lineage)
    expect(old.read(rotated.sign(lineage))).toBeUndefined()
  })

  test('a gateway signs with the configured one', async () => {
    const g = await testGateway({ toml: '[lineage]\nsecret = "shared by two gateways"\n' })
    expect(lineageSigner('shared by two gateways').read(g.signer.sign(lineage))).toEqual(lineage)
  })

  test('is shown by no route, list, problem or log line', async () => {
    const g = await testGateway()
    const control = await g.state.control(LINEAGE_TOPIC)
    const [key] = control.all()
    expect(key?.value).toMatch(/^[\w-]{43}$/)
    await g.dispatch({ action_type: 'a', provider: 'out' }, { 'signalbox-lineage': 'v1.e30.forged' })
    const paths = routes.filter((r) => r.method === 'GET' && !r.path.includes('{')).map((r) => r.path)
    expect(paths.length).toBeGreaterThan(10)
    const texts = [JSON.stringify(g.env.logged), JSON.stringify(await g.records('', ''))]
    for (const path of paths) texts.push((await g.ask('GET', path)).text)
    for (const text of texts) expect(text).not.toContain(key?.value)
  })
})
