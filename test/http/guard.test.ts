import { describe, expect, test } from 'vitest'
import { testGateway } from '../fakes/gateway.ts'

const ACTION = { action_type: 'x', provider: 'out' }

describe('Host: under which names the gateway answers', () => {
  test.each([
    ['127.0.0.1', 'localhost:8080', true],
    ['127.0.0.1', 'LOCALHOST', true],
    ['127.0.0.1', '[::1]:8080', true],
    ['127.0.0.1', '127.0.0.1:1', true],
    ['127.0.0.1', 'evil.example', false],
    ['127.0.0.1', 'localhost.evil.example:8080', false],
    ['127.0.0.1', 'evil.example:localhost', false],
    ['::1', 'localhost', true],
    ['::1', '10.0.0.1', false],
    ['localhost', 'evil.example', false],
    ['0.0.0.0', 'anything.example:99', true],
    ['10.0.0.7', 'anything.example', true],
  ])('bound to %s, asked as %s: %s', async (bound, host, ok) => {
    const g = await testGateway({ set: [`server.host=${bound}`] })
    const t = await g.dispatch(ACTION, { host })
    expect(t.body).toMatchObject(ok ? { outcome: 'executed' } : { status: 403, code: 'host_refused' })
    expect(g.providers.out!.sent).toHaveLength(ok ? 1 : 0)
  })
  test('allowed_hosts is the whole list, wherever it is bound; a port counts where one is written', async () => {
    const g = await testGateway({ toml: '[server]\nallowed_hosts = ["Gateway.example", "other.example:8443"]\n' })
    const asked = async (host: string) => (await g.ask('GET', '/v1/rules', undefined, { host })).status
    expect(await asked('gateway.example:8080')).toBe(200)
    expect(await asked('GATEWAY.example')).toBe(200)
    expect(await asked('other.example:8443')).toBe(200)
    expect(await asked('other.example')).toBe(403)
    expect(await asked('localhost')).toBe(403)
    expect((await g.ask('GET', '/livez', undefined, { host: '10.1.2.3' })).status).toBe(200)
    expect((await g.ask('GET', '/nowhere', undefined, { host: '10.1.2.3' })).body).toMatchObject({
      code: 'host_refused',
    })
  })
})

describe('Origin: from which pages', () => {
  test.each([
    ['http://localhost:8080', 'localhost:8080', true],
    ['http://LocalHost', 'localhost:80', true],
    ['https://localhost', 'localhost:443', true],
    ['http://localhost:3000', 'localhost:8080', false],
    ['http://evil.example', 'localhost:8080', false],
    ['null', 'localhost:8080', false],
    ['file://', 'localhost:8080', false],
    ['chrome-extension://abc', 'localhost:8080', false],
  ])('a page of %s asking %s: %s', async (origin, host, ok) => {
    const g = await testGateway()
    const t = await g.dispatch(ACTION, { origin, host })
    expect(t.body).toMatchObject(ok ? { outcome: 'executed' } : { status: 403, code: 'origin_refused' })
    expect(t.headers.get('access-control-allow-origin')).toBeNull()
  })
  test('behind a proxy with a name of its own, a listed page may ask, a local one of another port may not', async () => {
    const g = await testGateway({ toml: '[server]\nallowed_hosts = ["inner", "console.example", "localhost"]\n' })
    const asked = async (origin: string) =>
      (await g.ask('GET', '/v1/rules', undefined, { origin, host: 'inner' })).status
    expect(await asked('https://console.example')).toBe(200)
    expect(await asked('https://console.example.evil.example')).toBe(403)
    expect(await asked('http://localhost:3000')).toBe(403)
  })
  test('a preflight is answered with nothing that lets a page go on', async () => {
    const t = await (await testGateway()).ask('OPTIONS', '/v1/dispatch', undefined, {
      origin: 'http://evil.example',
      'access-control-request-method': 'POST',
    })
    expect(t.body).toMatchObject({ code: 'origin_refused' })
    expect([...t.headers.keys()].filter((h) => h.startsWith('access-control'))).toEqual([])
  })
})
