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

/** Everything that is not the public internet: `block_private_networks`. */
const PRIVATE = new BlockList()
for (const [net, bits] of [
  ['0.0.0.0', 8],
  ['10.0.0.0', 8],
  ['100.64.0.0', 10],
  ['127.0.0.0', 8],
  ['172.16.0.0', 12],
  ['192.0.0.0', 24],
  ['192.168.0.0', 16],
  ['198.18.0.0', 15],
  ['224.0.0.0', 3],
] as const)
  PRIVATE.addSubnet(net, bits, 'ipv4')
PRIVATE.addSubnet('::', 127, 'ipv6')
PRIVATE.addSubnet('fc00::', 7, 'ipv6')
PRIVATE.addSubnet('ff00::', 8, 'ipv6')

/** IPv6 forms that carry an IPv4 address: mapped (RFC 4291), compatible, and the NAT64 prefix (RFC 6052). */
function embedded(address: string): string | undefined {
  const hostname = URL.parse(`http://[${address.split('%')[0]}]/`)?.hostname.slice(1, -1) // its canonical form
  const m = /^(?:::ffff:|::|64:ff9b::)([0-9a-f]{1,4}):([0-9a-f]{1,4})$/.exec(hostname ?? '')
  if (!m) return undefined
  const [high, low] = [Number.parseInt(m[1]!, 16), Number.parseInt(m[2]!, 16)]
  return [high >> 8, high & 255, low >> 8, low & 255].join('.')
}

export function isRefused(address: string, blockPrivate: boolean): boolean {
  const family = isIP(address) === 6 ? 'ipv6' : 'ipv4'
  const within = family === 'ipv6' ? embedded(address) : undefined
  const bare = address.split('%')[0]!
  const listed = (list: BlockList) => list.check(bare, family) || (within !== undefined && list.check(within, 'ipv4'))
  return listed(METADATA) || (blockPrivate && listed(PRIVATE))
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
