import { Problem } from '../core/errors.ts'
import type { HttpDeps } from './deps.ts'
import { header } from './request.ts'
import type { Ctx } from './route.ts'

const LOOPBACK_NAMES = ['localhost', '127.0.0.1', '[::1]']

/** `name:8080` → `name`, `[::1]:8080` → `[::1]`. */
const withoutPort = (host: string): string => /^(\[[^\]]*\]|[^:]*)(?::\d*)?$/.exec(host)?.[1] ?? host

/**
 * Who may be asked under which name, and from which pages. A page of another site that is made to resolve to this address (DNS
 * rebinding) still sends its own name in `Host`; one that simply asks sends its own in `Origin`. Throws Problem 403, and 400 where
 * it cannot be known which of two headers is meant.
 */
export function guard(server: HttpDeps['server']): (c: Ctx) => void {
  const bound = server.host.toLowerCase()
  const loopback = bound === 'localhost' || bound === '::1' || bound === '[::1]' || /^127(\.\d+){3}$/.test(bound)
  const names = server.allowedHosts ?? (loopback ? [...LOOPBACK_NAMES, bound] : undefined)
  const allowed = names && new Set(names.map((n) => n.toLowerCase()))
  // Hosts that were let through, as written. Who chooses the name cannot fill it: only allowed ones get in.
  const seen = new Set<string>()

  function mayBe(host: string): boolean {
    if (!allowed || seen.has(host)) return true
    const name = host.toLowerCase()
    if (!allowed.has(name) && !allowed.has(withoutPort(name))) return false
    if (seen.size < 100) seen.add(host)
    return true
  }

  return (c) => {
    checkOnce(c)
    const host = header(c, 'host') ?? new URL(c.req.url).host
    if (!mayBe(host))
      throw new Problem(403, 'host_refused', 'this gateway does not answer under that name; see server.allowed_hosts')
    const origin = header(c, 'origin')
    if (origin !== undefined && !sameSite(origin, host, allowed))
      throw new Problem(403, 'origin_refused', 'requests from pages of other sites are not taken')
  }
}

/** Node takes the first of two, or joins them; what stands before it may take the other (RFC 9112, section 3.2, has 400 for `Host`). */
const ONCE: ReadonlySet<string> = new Set(['host', 'content-type', 'idempotency-key'])
const LENGTHS: ReadonlySet<number> = new Set(Array.from(ONCE, (name) => name.length))

function checkOnce(c: Ctx): void {
  const headers = c.env?.incoming?.rawHeaders ?? []
  const seen: string[] = []
  for (let i = 0; i < headers.length; i += 2) {
    if (!LENGTHS.has(headers[i]!.length)) continue
    const name = headers[i]!.toLowerCase()
    if (!ONCE.has(name)) continue
    if (seen.includes(name)) throw new Problem(400, 'invalid_request', `the header ${name} is there twice`)
    seen.push(name)
  }
}

function sameSite(origin: string, host: string, allowed: ReadonlySet<string> | undefined): boolean {
  const from = URL.parse(origin)
  if (!from || (from.protocol !== 'http:' && from.protocol !== 'https:')) return false
  if (URL.parse(`${from.protocol}//${host}`)?.host === from.host) return true
  // Behind a proxy that puts its own name in `Host`, the page's is one of those the operator listed; a loopback name of another port is another site.
  return (
    allowed !== undefined &&
    !LOOPBACK_NAMES.includes(from.hostname) &&
    (allowed.has(from.host) || allowed.has(from.hostname))
  )
}
