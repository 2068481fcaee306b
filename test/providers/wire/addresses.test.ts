import type { LookupAddress } from 'node:dns'
import { expect, test } from 'vitest'
import { guardedLookup, isRefused } from '../../../src/providers/wire/addresses.ts'

test.each([
  '169.254.169.254',
  '169.254.170.2',
  '100.100.100.200',
  '168.63.129.16',
  'fe80::1',
  'fe80::1%eth0',
  'febf::1',
  'fd00:ec2::254',
  'fd00:0ec2:0:0::0254',
  'fd20:ce::254',
  '::ffff:169.254.169.254',
  '::ffff:a9fe:a9fe',
  '64:ff9b::a9fe:a9fe',
  '169.254.0.1',
  '::ffff:100.100.100.200',
  '64:ff9b::168.63.129.16',
  '::ffff:192.0.0.192',
  '::169.254.169.254',
  '::ffff:0:169.254.169.254',
  '64:ff9b:1::a9fe:a9fe',
  '2002:a9fe:a9fe::',
  '2002:a9fe:a9fe:1::99',
  '2001:0:5db8:d822::5601:5601',
  '2606:4700::5efe:169.254.169.254',
  '2606:4700::200:5efe:169.254.169.254',
])('PITFALLS 59: metadata %s is never a target', (address) => {
  expect(isRefused(address, false)).toBe(true)
})

test.each([
  '127.0.0.1',
  '::1',
  '10.1.2.3',
  '172.31.0.1',
  '192.168.1.1',
  'fd12::1',
  '100.64.0.1',
  '0.0.0.0',
  '::ffff:10.0.0.1',
  '64:ff9b::a01:203',
  '::ffff:127.255.0.1',
  '172.16.0.0',
  '198.19.255.255',
  '224.0.0.1',
  '255.255.255.255',
  '100.127.255.255',
  '192.0.2.1',
  '198.51.100.1',
  '203.0.113.1',
  '192.88.99.1',
  '::',
  '::ffff:0:127.0.0.1',
  '64:ff9b:1::808:808',
  '64:ff9b::a00:0:1',
  '2002:7f00:1::',
  '2002:808:808::',
  '2001::80ff:fffe',
  '2001:1ff::1',
  '2001:db8::1',
  '3fff::1',
  '2606:4700::5efe:10.0.0.1',
  'fec0::1',
  'ff0e::1',
  '100::1',
  '4000::1',
  '5f00::1',
])('%s is private: refused only where those are blocked', (address) => {
  expect(isRefused(address, false)).toBe(false)
  expect(isRefused(address, true)).toBe(true)
})

test.each([
  '8.8.8.8',
  '172.32.0.1',
  '2606:4700::1111',
  '::ffff:8.8.8.8',
  '::ffff:172.32.0.1',
  '64:ff9b::808:808',
  '2001:200::1',
  '2400:cb00::1',
  '2001:4860:4860::8888',
  '100.128.0.1',
  '198.20.0.1',
  '11.0.0.1',
])('%s is public', (address) => {
  expect(isRefused(address, true)).toBe(false)
})

/** A resolver that answers as told, with what `net.connect` would get from the guard. */
function resolved(found: readonly LookupAddress[], all: boolean): Promise<unknown> {
  const fake = ((_host: string, _options: object, done: (e: null, found: readonly LookupAddress[]) => void) =>
    done(null, found)) as never
  return new Promise((done, failed) =>
    guardedLookup(false, fake)('hook.example', { all }, (e, ...rest) => (e ? failed(e) : done(rest))),
  )
}

test('PITFALLS 59: the resolved address counts, and one bad one among several is enough', async () => {
  const good = { address: '93.184.216.34', family: 4 }
  const bad = { address: '169.254.169.254', family: 4 }
  expect(await resolved([good], false)).toEqual([good.address, 4])
  expect(await resolved([good], true)).toEqual([[good]])
  await expect(resolved([good, bad], true)).rejects.toMatchObject({ code: 'address_refused' })
  await expect(resolved([bad], false)).rejects.toMatchObject({ code: 'address_refused' })
  await expect(resolved([], true)).rejects.toMatchObject({ code: 'connection_failed' })
})
