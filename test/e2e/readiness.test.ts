import { readFileSync } from 'node:fs'
import { expect, test } from 'vitest'
import { serve } from './gateway.ts'
import { place } from './place.ts'
import { root } from './run.ts'

/** Of processor time, as the machine has other work. One is usual. */
const READY_CPU_SECONDS = 5

test('ready in about a second, with the file and the rules that come along', async () => {
  const at = place({
    'gateway.toml': readFileSync(`${root}/gateway.toml`, 'utf8'),
    'rules/rules.yaml': readFileSync(`${root}/rules/routes.yaml`, 'utf8'),
    'rules/guards.yaml': readFileSync(`${root}/rules/guards.yaml`, 'utf8'),
  })
  // The first start fills the compile cache.
  expect(await (await serve(at)).stop()).toBe(0)
  const gateway = await serve(at)
  expect((await gateway.ask('GET', '/readyz')).status).toBe(200)
  expect((await gateway.ask('GET', '/livez')).status).toBe(200)
  expect(await gateway.metric('process_cpu_seconds_total')).toBeLessThan(READY_CPU_SECONDS)
  const resident = await gateway.metric('process_resident_memory_bytes')
  console.log(`ready in ${Math.round(gateway.readyMs)} ms, ${Math.round(resident / 2 ** 20)} MiB resident when idle`)
  // What a person sees: the rules it loaded, a command to try, and the address alone on a line, last.
  const lines = gateway.stdout.trim().split('\n')
  expect(lines.at(-1)).toBe(`Listening on 127.0.0.1:${gateway.port}`)
  expect(gateway.stdout).toMatch(/^6 rules loaded from .*: .*drop-debug-noise/m)
  expect(gateway.stdout).toContain(`curl -sS ${gateway.base}/v1/dispatch`)
  expect(await gateway.stop()).toBe(0)
})

test('the command it prints works as printed', async () => {
  const gateway = await serve(place())
  const printed = /-d '(.*)'/.exec(gateway.stdout)?.[1]
  const told = await gateway.ask('POST', '/v1/dispatch', printed)
  expect([told.status, told.body['outcome']]).toEqual([200, 'executed'])
  expect(await gateway.stop()).toBe(0)
})
