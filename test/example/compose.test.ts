import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, it } from 'vitest'
import { parse } from 'yaml'
import { root } from '../docs/markdown.ts'

/** compose.yaml: what it starts stays the same tomorrow, is reached from this machine alone, and is waited for. */

interface Service {
  readonly image: string
  readonly command?: readonly string[]
  readonly ports: readonly string[]
  readonly volumes: readonly string[]
  readonly healthcheck: { readonly test: readonly string[] }
}
const text = readFileSync(join(root, 'compose.yaml'), 'utf8')
const { services, volumes } = parse(text) as {
  readonly services: { readonly [name: string]: Service }
  readonly volumes: object
}

it('has a server of each store that is not a file', () => {
  expect(Object.keys(services)).toEqual(['localstack', 'postgres', 'redis'])
})

it.each(Object.entries(services))('%s is pinned, on loopback, and healthy when it answers', (_name, service) => {
  expect(service.image).toMatch(/^[a-z/]+:\d+\.\d+(\.\d+)?$/)
  for (const port of service.ports) expect(port).toMatch(/^127\.0\.0\.1:(\d+):\1$/)
  expect(service.healthcheck.test[0]).toBe('CMD')
  const named = service.volumes.flatMap((v) => /^([a-z]+):/.exec(v)?.[1] ?? [])
  expect(Object.keys(volumes)).toEqual(expect.arrayContaining(named))
})

it('keeps what is held: Redis writes it down and evicts nothing', () => {
  const words = services['redis']!.command!.join(' ')
  expect(words).toContain('--appendonly yes')
  expect(words).toContain('--maxmemory-policy noeviction')
})

it('the example asks for the one service it needs', () => {
  const page = readFileSync(join(root, 'examples/aws-event-pipeline/README.md'), 'utf8')
  const asked = [...page.matchAll(/^docker compose up .*--wait(.*)$/gm)].map((m) => m[1]!.trim())
  expect(asked).toEqual(['localstack'])
})
