import { lookup as resolve } from 'node:dns'
import { BlockList, isIP, type LookupFunction } from 'node:net'
import { failure } from './errors.ts'

/**
 * Where instance metadata and its credentials are served: link-local, and the few fixed addresses of clouds outside it
 * (AWS and Google over IPv6, Alibaba, Oracle, Azure). Never a webhook's target, whatever its name resolves to.
 */
const METADATA = new BlockList()
METADATA.addSubnet('169.254.0.0', 16, 'ipv4')
METADATA.addSubnet('fe80::', 10, 'ipv6')
METADATA.addAddress('fd00:ec2::254', 'ipv6')
METADATA.addAddress('fd20:ce::254', 'ipv6')
METADATA.addAddress('100.100.100.200', 'ipv4')
METADATA.addAddress('192.0.0.192', 'ipv4')
METADATA.addAddress('168.63.129.16', 'ipv4')

/** Everything that is not the public internet: `block_private_networks`. Two lists, as Node takes an IPv4 address for a mapped one, too. */
const PRIVATE = new BlockList()
const PRIVATE6 = new BlockList()
for (const [net, bits] of [
  ['0.0.0.0', 8],
  ['10.0.0.0', 8],
  ['100.64.0.0', 10],
  ['127.0.0.0', 8],
  ['172.16.0.0', 12],
  ['192.0.0.0', 24],
  ['192.0.2.0', 24],
  ['192.88.99.0', 24],
  ['192.168.0.0', 16],
  ['198.18.0.0', 15],
  ['198.51.100.0', 24],
  ['203.0.113.0', 24],
  ['224.0.0.0', 3],
] as const)
  PRIVATE.addSubnet(net, bits, 'ipv4')
// Of IPv6, one eighth is the public internet and the rest is not; within that eighth lie Teredo and other protocols, documentation, 6to4.
for (const [net, bits] of [
  ['::', 3],
  ['4000::', 2],
  ['8000::', 1],
  ['2001::', 23],
  ['2001:db8::', 32],
  ['2002::', 16],
  ['3fff::', 20],
] as const)
  PRIVATE6.addSubnet(net, bits, 'ipv6')

/** What leads to an IPv4 address and is as public as that: mapped, and NAT64 (RFC 6052), through which IPv6 networks reach the rest. */
const TRANSLATED = new BlockList()
TRANSLATED.addSubnet('::ffff:0:0', 96, 'ipv6')
TRANSLATED.addSubnet('64:ff9b::', 96, 'ipv6')

/** The eight groups of an IPv6 address. */
function groupsOf(address: string): readonly number[] {
  const canonical = URL.parse(`http://[${address}]/`)?.hostname.slice(1, -1) ?? ''
  const [head = '', tail] = canonical.split('::').map((part) => (part === '' ? [] : part.split(':')))
  const left = [...head].map((g) => Number.parseInt(g, 16))
  const right = [...(tail ?? [])].map((g) => Number.parseInt(g, 16))
  return [...left, ...Array<number>(8 - left.length - right.length).fill(0), ...right]
}
const dotted = (high = 0, low = 0): string => [high >> 8, high & 255, low >> 8, low & 255].join('.')

/**
 * The IPv4 address that a router or tunnel on the way may make of it: mapped and compatible (RFC 4291), translated (RFC 7915), NAT64
 * (RFC 6052, 8215), 6to4, Teredo, ISATAP.
 */
function embedded(address: string): string | undefined {
  const g = groupsOf(address)
  const [a, b, c, d, e, f] = g
  const low = dotted(g[6], g[7])
  if (a === 0 && b === 0 && c === 0 && d === 0) {
    if ((e === 0 && (f === 0 || f === 0xffff)) || (e === 0xffff && f === 0)) return low
  }
  if (a === 0x64 && b === 0xff9b && (c === 1 || (c === 0 && d === 0 && e === 0 && f === 0))) return low
  if (a === 0x2002) return dotted(b, c)
  if (a === 0x2001 && b === 0) return dotted(g[6]! ^ 0xffff, g[7]! ^ 0xffff)
  return (e! & 0xfdff) === 0 && f === 0x5efe ? low : undefined
}

export function isRefused(address: string, blockPrivate: boolean): boolean {
  const bare = address.split('%')[0]!
  if (isIP(bare) !== 6) return METADATA.check(bare, 'ipv4') || (blockPrivate && PRIVATE.check(bare, 'ipv4'))
  const within = embedded(bare)
  if (METADATA.check(bare, 'ipv6') || (within !== undefined && METADATA.check(within, 'ipv4'))) return true
  if (!blockPrivate) return false
  if (within !== undefined && PRIVATE.check(within, 'ipv4')) return true
  return PRIVATE6.check(bare, 'ipv6') && !TRANSLATED.check(bare, 'ipv6')
}

const refused = () => failure('address_refused', 'the target resolves to an address this provider never connects to')

/** Throws for a host that is itself a refused address: those are connected to without a lookup. */
export function checkHost(host: string, blockPrivate: boolean): void {
  const bare = host.startsWith('[') ? host.slice(1, -1) : host
  if (isIP(bare) !== 0 && isRefused(bare, blockPrivate)) throw refused()
}

/**
 * A lookup for `net.connect`: checked where the connection is made, so a name cannot change its address between check
 * and use. One refused address among several refuses the name.
 */
export function guardedLookup(blockPrivate: boolean, lookup: typeof resolve = resolve): LookupFunction {
  return (hostname, options, callback) => {
    lookup(hostname, { ...options, all: true }, (error, found) => {
      const first = found?.[0]
      if (error || first === undefined) return callback(error ?? failure('connection_failed', 'no address'), '', 0)
      if (found.some((a) => isRefused(a.address, blockPrivate))) return callback(refused(), '', 0)
      if (options.all) callback(null, found)
      else callback(null, first.address, first.family)
    })
  }
}
